from functools import partial

import pytest
import torch
from hypothesis import strategies as st

from mmseg_attn.attention.lrnet import LocalRelation
from mmseg_attn.ops.windowed_attention import SIMILARITIES
from tests.attention.variants import CHANNELS, any_options
from tests.helpers import assert_matches_golden, randomize
from tests.naive import lrnet as naive

OFFICIAL = {'query': 'query', 'key': 'key', 'prior': 'prior', 'final': 'out_conv'}
BLOCKS = {
    '': partial(LocalRelation, CHANNELS),
    'product': partial(LocalRelation, CHANNELS, window=3, similarity='product', border='zero'),
    'key': partial(LocalRelation, CHANNELS, window=3, similarity='key', dilation=2, border='exclude'),
}
HEADS = {'LRHead': [dict(window=3, channels_per_group=4), dict(window=3, similarity='product', dilation=2)]}


def oracle(block, x):
    options, window, key = block.options, block.options['window'], block.key(x)
    query = (block.query or block.key)(x[..., ::block.stride, ::block.stride])
    first, second = ((block.prior[i].weight[..., 0, 0], block.prior[i].bias) for i in (0, 2))
    normalize = bool((block.offsets.abs() <= 1).all()) and window > 1
    prior = naive.prior(window, normalize, first, second)
    out = naive.local_relation(query[0], key[0], x[0], prior, block.stride, options['dilation'], 1,
                               options['similarity'], options['border'])
    return block.out_conv(out[None])


PROPERTIES = {
    '': any_options(
        LocalRelation, oracle, channels=st.sampled_from([2, 4]), window=st.sampled_from([1, 3, 5]),
        channels_per_group=st.sampled_from([1, 2]), dilation=st.integers(1, 3),
        similarity=st.sampled_from([*SIMILARITIES]), border=st.sampled_from(['exclude', 'zero', -100.0, -1.0]),
        hidden_channels=st.sampled_from([None, 3]), normalize_offsets=st.booleans(), bias=st.booleans()),
}


def test_official_output(golden):
    official = golden('lrnet_layer_paper')
    config = official['config']
    block = LocalRelation(config['C'], window=config['k'], channels_per_group=config['m'],
                          hidden_channels=config['hid'], normalize_offsets=False)
    assert_matches_golden(block, official, OFFICIAL)
    torch.testing.assert_close(block._position(), official['prior'][0].flatten(1))


@pytest.mark.parametrize(('stride', 'similarity'), [(1, 'squared_difference'), (2, 'product'), (3, 'key')])
def test_layer_and_its_gradients_equal_the_loops(stride, similarity):
    layer = randomize(LocalRelation(4, out_channels=3, window=3, channels_per_group=2, stride=stride,
                                    similarity=similarity)).double()
    x = torch.randn(1, 4, 4, 5, dtype=torch.float64, requires_grad=True)
    out, expected, leaves = layer(x), oracle(layer, x), [x, *layer.parameters()]
    assert out.shape == (1, 3, -(-4 // stride), -(-5 // stride))
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    torch.testing.assert_close(*(torch.autograd.grad(result, leaves, cotangent) for result in (out, expected)))


@pytest.mark.parametrize('stride', [1, 2])
def test_attention_map_rebuilds_the_output(stride):
    block = randomize(LocalRelation(8, window=5, stride=stride)).double()
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    points = torch.tensor([[0, 0], [2, 3], [1, 2]])
    gathered = torch.einsum('bphw,bchw->bcp', block.attention_map(x, points), x)
    torch.testing.assert_close(block.out_conv(gathered[..., None])[..., 0], block(x)[..., points[:, 0], points[:, 1]])


def test_offsets_are_right_and_down():
    block = LocalRelation(8, window=5)
    assert block.offsets[0, :, 0].T.tolist() == [[-1, -1], [-0.5, -1], [0, -1], [0.5, -1], [1, -1]]
    assert LocalRelation(8, window=5, normalize_offsets=False).offsets[0, :, 0, 4].tolist() == [2, -2]
    assert 'offsets' not in block.state_dict()


def test_a_far_logit_of_the_border_is_no_exclusion():
    """What the official operation does: -100 has most of the weight where all differences are larger."""
    x = 40 * torch.randn(1, 8, 1, 1).abs() + 40
    blocks = [LocalRelation(8, window=3, border=border) for border in (-100.0, 'exclude')]
    for block in blocks:
        for conv, sign in (block.query, 1), (block.key, -1):
            torch.nn.init.constant_(conv.weight, sign)
            torch.nn.init.zeros_(conv.bias)
        torch.nn.init.eye_(block.out_conv.weight[..., 0, 0])
        torch.nn.init.zeros_(block.out_conv.bias)
    torch.testing.assert_close(blocks[0](x), torch.zeros_like(x))
    torch.testing.assert_close(blocks[1](x), x)


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(window=2), 'window must be odd, got 2'),
    (dict(channels_per_group=3), 'channels_per_group must divide the channels, got 3 of 8'),
    (dict(channels_per_group=0), 'channels_per_group must be a positive integer'),
    (dict(hidden_channels=0), 'hidden_channels must be a positive integer'),
    (dict(similarity='l1'), "got 'l1'"),
    (dict(border='same'), "border must be .*, got 'same'"),
])
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        LocalRelation(8, **wrong)
