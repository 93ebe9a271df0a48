from functools import partial

import pytest
import torch
from hypothesis import strategies as st

from mmseg_attn.attention.sasa import StandAloneSelfAttention
from tests.attention.variants import CHANNELS, any_options
from tests.helpers import GOLDEN, assert_matches_golden, randomize
from tests.naive import sasa as naive

OFFICIAL = {'query': 'query', 'key': 'key', 'value': 'value', 'rel_row': 'row_embedding', 'rel_col': 'column_embedding'}
ONE_HEAD = {'conv1': 'query', 'conv2': 'key', 'conv3': 'value', 'row_embeddings': 'row_embedding',
            'col_embeddings': 'column_embedding'}
BLOCKS = {
    '': partial(StandAloneSelfAttention, CHANNELS),
    'zero': partial(StandAloneSelfAttention, CHANNELS, window=3, heads=2, dilation=2, border='zero',
                    shared_embedding=True, grouped=False),
}
HEADS = {'SASAHead': [dict(window=3, heads=2), dict(window=3, heads=4, shared_embedding=True, dilation=2)]}


def oracle(block, x):
    heads = block.options['groups']
    embeddings = (e.expand(heads, -1, -1) for e in (block.row_embedding, block.column_embedding))
    out = naive.windowed(block.query(x)[0], block.key(x)[0], block.value(x)[0], *embeddings,
                         block.options['dilation'], block.options['border'])
    return naive.average_pool(out, block.stride)[None]


PROPERTIES = {
    '': any_options(
        StandAloneSelfAttention, oracle, channels=st.sampled_from([4, 8]), window=st.sampled_from([1, 3, 5]),
        heads=st.sampled_from([1, 2]), dilation=st.integers(1, 3), border=st.sampled_from(['exclude', 'zero']),
        shared_embedding=st.booleans(), grouped=st.booleans()),
}


def test_official_formula_with_both_borders(golden):
    official = golden('sasa_paper_k7_h4')
    blocks = {border: StandAloneSelfAttention(16, heads=4, border=border) for border in ('zero', 'exclude')}
    assert_matches_golden(blocks['zero'], official | official['cases'][0], OFFICIAL)
    blocks['exclude'].load_state_dict(blocks['zero'].state_dict())
    for case in official['cases']:
        torch.testing.assert_close(blocks['zero'].float()(case['input']), case['output'], **GOLDEN)
        torch.testing.assert_close(blocks['exclude'].float()(case['input']), case['output_excluded'], **GOLDEN)


def test_official_weights_of_a_head(golden):
    official = golden('sasa_paper_k7_h4')
    block = StandAloneSelfAttention(4, heads=1, border='zero')
    state = {OFFICIAL[key.removesuffix('.weight')] + key.removeprefix(key.removesuffix('.weight')): value
             for key, value in official['state_dict'].items()}
    block.load_state_dict({key: value[:len(value) // 4] for key, value in state.items()})
    weights = block.attention_map(official['cases'][0]['input'][:, :4], torch.tensor([[4, 6]]))
    expected = official['attention_of_head0'][..., 4, 6].unflatten(1, (7, 7))
    torch.testing.assert_close(weights[:, 0, 1:8, 3:10], expected, **GOLDEN)


def test_equals_the_code_of_skmhrk1209(golden):
    official = golden('sasa_skmhrk_g1')
    for tensors in official['state_dict'], official['grad']['params']:
        for name in 'row_embeddings', 'col_embeddings':
            tensors[name] = tensors[name][None]
    block = StandAloneSelfAttention(12, out_channels=16, heads=1, border='zero')
    assert_matches_golden(block, official, ONE_HEAD)
    for case in official['cases']:
        torch.testing.assert_close(block.float()(case['input']), case['output'], **GOLDEN)


@pytest.mark.parametrize(('stride', 'options'), [
    (1, dict(border='zero')), (2, dict(out_channels=8)), (3, dict(grouped=False, shared_embedding=True))])
def test_layer_and_its_gradients_equal_the_loops(stride, options):
    layer = randomize(StandAloneSelfAttention(4, window=3, heads=2, stride=stride, **options)).double()
    x = torch.randn(1, 4, 4, 5, dtype=torch.float64, requires_grad=True)
    out, expected, leaves = layer(x), oracle(layer, x), [x, *layer.parameters()]
    assert out.shape == (1, options.get('out_channels', 4), -(-4 // stride), -(-5 // stride))
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    torch.testing.assert_close(*(torch.autograd.grad(result, leaves, cotangent) for result in (out, expected)))


@pytest.mark.parametrize('border', ['exclude', 'zero', -2.0])
def test_attention_map_rebuilds_the_output(border):
    block = randomize(StandAloneSelfAttention(8, window=5, heads=1, border=border)).double()
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    points = torch.tensor([[0, 0], [4, 6], [2, 3]])
    gathered = torch.einsum('bphw,bchw->bcp', block.attention_map(x, points), block.value(x))
    torch.testing.assert_close(gathered, block(x)[..., points[:, 0], points[:, 1]])


def test_first_half_of_the_embedding_is_of_the_row():
    block = StandAloneSelfAttention(4, window=3, heads=1)
    embedding = block._embedding().unflatten(1, (3, 3))
    torch.testing.assert_close(embedding[0, 2, 0], torch.cat([block.row_embedding[0, :, 2],
                                                              block.column_embedding[0, :, 0]]))


def test_embeddings_start_random_and_small():
    block = StandAloneSelfAttention(512, heads=2)
    torch.testing.assert_close(block.row_embedding.std().item(), 256**-0.5, rtol=0.1, atol=0)
    assert StandAloneSelfAttention(16, heads=4, shared_embedding=True).row_embedding.shape == (1, 2, 7)


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(window=4), 'window must be odd, got 4'),
    (dict(heads=8), 'heads=8 does not divide half of the 8 output channels'),
    (dict(heads=3, out_channels=12), 'heads must divide the 8 input channels, got 3; grouped=False'),
    (dict(heads=0), 'heads must be a positive integer, got 0'),
    (dict(stride=0), 'stride must be a positive integer, got 0'),
    (dict(border='reflect'), "border must be .*, got 'reflect'"),
])
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        StandAloneSelfAttention(8, **wrong)
