from functools import partial

import pytest
import torch
from hypothesis import strategies as st

from mmseg_attn.attention.ccnet import CrissCrossAttention
from mmseg_attn.ops.criss_cross import criss_cross_attention, criss_cross_weights
from tests.attention.variants import CHANNELS, WIDTHS, any_options
from tests.helpers import GOLDEN, assert_matches_golden, randomize, rename
from tests.naive import ccnet as naive

OFFICIAL = {'query_conv': 'query', 'key_conv': 'key', 'value_conv': 'value', 'gamma': 'gamma'}
BLOCKS = {
    '': partial(CrissCrossAttention, CHANNELS),
    'one_pass': partial(CrissCrossAttention, CHANNELS, recurrence=1),
}
HEADS = {'CCHead': [dict(), dict(recurrence=1, inner_channels=16), dict(concat_input=False)]}


def oracle(block, x):
    for _ in range(block.recurrence):
        weights = naive.weights(block.query(x)[0], block.key(x)[0])
        x = block.gamma * naive.attend(weights, block.value(x)[0]) + x
    return x


PROPERTIES = {
    '': any_options(
        CrissCrossAttention, oracle, examples=6, key_channels=WIDTHS,
        recurrence=st.integers(1, 2)),
}


def test_official_output_and_gradients(golden):
    assert_matches_golden(CrissCrossAttention(16, recurrence=1), golden('ccnet_cca'), OFFICIAL)


def test_official_output_of_two_passes(golden):
    official = golden('ccnet_cca')
    block = CrissCrossAttention(16)
    block.load_state_dict(rename(official['state_dict'], OFFICIAL))
    torch.testing.assert_close(block(official['input']), official['twice'], **GOLDEN)


@pytest.mark.parametrize('size', [(3, 4), (4, 2), (1, 3), (3, 1), (1, 1)], ids=str)
def test_values_and_gradients_equal_the_loops(size):
    query, key, value = (torch.randn(2, width, *size, dtype=torch.float64, requires_grad=True) for width in (2, 2, 3))
    out = criss_cross_attention(query, key, value)
    for image in range(2):
        weights = naive.weights(query[image].detach(), key[image].detach())
        torch.testing.assert_close(out[image], naive.attend(weights, value[image]))
    assert torch.autograd.gradcheck(criss_cross_attention, (query, key, value), fast_mode=True)


def test_a_pixel_counts_itself_once_in_its_row():
    query, key = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    along_column, along_row = criss_cross_weights(query, key)
    assert torch.equal(along_column.diagonal(dim1=2, dim2=3), torch.zeros(2, 4, 5))
    assert (along_row > 0).all()
    torch.testing.assert_close(along_column.sum(3).transpose(1, 2) + along_row.sum(3), torch.ones(2, 5, 4))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_logits_and_softmax_are_float32_under_autocast(dtype):
    query, key = (30 * torch.randn(2, 3, 5, 4).to(dtype) for _ in range(2))
    with torch.autocast('cpu', dtype):
        weights = criss_cross_weights(query, key)
    for half, full in zip(weights, criss_cross_weights(query.float(), key.float()), strict=True):
        assert torch.equal(half, full)


def _passes(block, image):
    """The maps (H, W, H, W) of the passes over one image (C, H, W), by the loops, and the output."""
    passes = []
    for _ in range(block.recurrence):
        query, key, value = (conv(image[None])[0].detach() for conv in (block.query, block.key, block.value))
        passes.append(naive.weights(query, key))
        image = (block.gamma * naive.attend(passes[-1], value) + image).detach()
    return passes, image


@pytest.mark.parametrize('recurrence', [1, 2, 3])
def test_passes_and_their_map_equal_the_loops(recurrence):
    block = randomize(CrissCrossAttention(4, key_channels=2, recurrence=recurrence)).double()
    x, points = torch.randn(2, 4, 3, 4, dtype=torch.float64), torch.tensor([[0, 0], [2, 3], [1, 2], [1, 2]])
    weights, out = block.attention_map(x, points), block(x)
    torch.testing.assert_close(weights.sum((2, 3)), torch.ones(2, 4, dtype=torch.float64))
    for image in range(2):
        passes, expected = _passes(block, x[image])
        torch.testing.assert_close(out[image], expected)
        product = passes[0]
        for following in passes[1:]:
            product = naive.compose(following, product)
        torch.testing.assert_close(weights[image], product[points[:, 0], points[:, 1]])


def test_attention_map_rebuilds_the_context():
    block, x = randomize(CrissCrossAttention(8, recurrence=1)).double(), torch.randn(2, 8, 5, 6, dtype=torch.float64)
    points = torch.tensor([[0, 0], [4, 5], [2, 3]])
    context = torch.einsum('bphw,bchw->bcp', block.attention_map(x, points), block.value(x))
    out = block.gamma * context + x[:, :, points[:, 0], points[:, 1]]
    torch.testing.assert_close(out, block(x)[:, :, points[:, 0], points[:, 1]])


def test_one_pass_reaches_the_cross_and_two_reach_every_pixel():
    x, cross = torch.randn(1, 8, 5, 6), torch.zeros(5, 6, dtype=torch.bool)
    cross[2], cross[:, 3] = True, True
    for recurrence, reached in ((1, cross), (2, torch.ones_like(cross))):
        block = randomize(CrissCrossAttention(8, recurrence=recurrence))
        assert torch.equal(block.attention_map(x, torch.tensor([[2, 3]]))[0, 0] > 0, reached)


@pytest.mark.parametrize('recurrence', [0, -1])
def test_wrong_recurrence(recurrence):
    with pytest.raises(ValueError, match=f'recurrence must be a positive integer, got {recurrence}'):
        CrissCrossAttention(8, recurrence=recurrence)


def test_widths_of_the_keys():
    assert CrissCrossAttention(24).key.out_channels == 3
    assert CrissCrossAttention(4).key.out_channels == 1
    assert CrissCrossAttention(24, key_channels=5).query.out_channels == 5


def test_starts_as_the_identity():
    x = torch.randn(2, 8, 5, 6)
    assert torch.equal(CrissCrossAttention(8)(x), x)
