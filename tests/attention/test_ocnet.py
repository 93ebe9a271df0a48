from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from mmseg_attn.attention.ocnet import (
    ASPObjectContext,
    BaseObjectContext,
    PyramidObjectContext,
    block_attention,
)
from tests.attention.oracles import first, last, pool, resize
from tests.attention.variants import CHANNELS, NORMS, WIDTHS, any_options
from tests.helpers import randomize
from tests.naive import ocnet as naive

POINTS = torch.tensor([[0, 0], [4, 5], [2, 3], [3, 1]])
BLOCKS = {
    'base': partial(BaseObjectContext, CHANNELS),
    'base-openseg': partial(BaseObjectContext, CHANNELS, sizes=(1, 2), shared_query=False),
    'pyramid': partial(PyramidObjectContext, CHANNELS),
    'pyramid-no_norm': partial(PyramidObjectContext, CHANNELS, scales=(1, 2), norm_layer=None),
    'asp': partial(ASPObjectContext, CHANNELS),
    'asp-openseg': partial(ASPObjectContext, CHANNELS, value_channels=4, shared_query=False, context_conv=False),
}
# The grid of 6 x 6 blocks takes any size, but from 12 x 12 pixels on; torch.export takes only multiples.
EXPORT_MULTIPLE = {'pyramid': 6}
HEADS = {'OCHead': [dict(), dict(context='pyramid'), dict(context='asp', context_cfg=dict(shared_query=False))]}


def pooled_context(stage, x):
    """An object context on pooled pixels -> the context, and the weights (h, w, h, w) of the pooled pixels."""
    pooled = pool(x, stage.size)
    query, key = map(last, stage.query_and_key(pooled))
    weights = naive.weights(query, key, query.shape[2]**-0.5)
    context = stage.out_conv(first(naive.attend(weights, last(stage.value(pooled)))))
    return resize(context, x.shape[2:]), weights


def context_of_blocks(stage, x):
    """An object context in a grid of blocks -> the context, and the weights (H, W, H, W)."""
    query, key = map(last, stage.query_and_key(x))
    groups = naive.blocks(*x.shape[2:], stage.num_blocks)
    weights = naive.weights_within(query, key, query.shape[2]**-0.5, groups)
    return stage.out_conv(first(naive.attend(weights, last(stage.value(x))))), weights


def base_oracle(block, x):
    return block.out_conv(torch.cat([sum(pooled_context(stage, x)[0] for stage in block.stages), x], dim=1))


def pyramid_oracle(block, x):
    contexts = [context_of_blocks(stage, x)[0] for stage in block.stages]
    return block.out_conv(torch.cat([block.up_conv(x), *contexts], dim=1))


def asp_oracle(block, x):
    context, _ = pooled_context(block.context, block.in_conv(x))
    return block.out_conv(torch.cat([block.context_conv(context), *(conv(x) for conv in block.convs)], dim=1))


POOLS = st.lists(st.integers(1, 3), min_size=1, max_size=2)
PROPERTIES = {
    'base': any_options(
        BaseObjectContext, base_oracle, key_channels=WIDTHS, value_channels=WIDTHS,
        sizes=POOLS, shared_query=st.booleans(), norm_layer=NORMS),
    'pyramid': any_options(
        PyramidObjectContext, pyramid_oracle, key_channels=WIDTHS, value_channels=WIDTHS,
        scales=POOLS, norm_layer=NORMS),
    'asp': any_options(
        ASPObjectContext, asp_oracle, branch_channels=WIDTHS, key_channels=WIDTHS,
        value_channels=WIDTHS, size=st.integers(1, 3), dilations=POOLS, shared_query=st.booleans(),
        context_conv=st.booleans(), norm_layer=NORMS),
}


def _double(cls, channels=4, **kwargs):
    return randomize(cls(channels, key_channels=3, value_channels=3, **kwargs), std=0.7).double().eval()


def _image(channels=4, height=5, width=6):
    return torch.randn(1, channels, height, width, dtype=torch.float64)


def _pooled(stage, x):
    """One image through an attention on pooled pixels -> its context and the map of all pixels."""
    height, width = x.shape[2:]
    context, weights = pooled_context(stage, x)
    return context, naive.upsample(naive.spread(weights, stage.size, height, width), height, width)


def _assert_map(block, x, maps):
    expected = sum(m[POINTS[:, 0], POINTS[:, 1]] for m in maps) / len(maps)
    torch.testing.assert_close(block.attention_map(x, POINTS)[0], expected)


@pytest.mark.parametrize('shared_query', [True, False])
@pytest.mark.parametrize('sizes', [(1,), (2,), (1, 2, 3)], ids=str)
def test_base_equals_the_loops(sizes, shared_query):
    block, x = _double(BaseObjectContext, sizes=sizes, shared_query=shared_query), _image()
    contexts, maps = zip(*(_pooled(stage, x) for stage in block.stages), strict=True)
    torch.testing.assert_close(block(x), block.out_conv(torch.cat([sum(contexts), x], dim=1)))
    _assert_map(block, x, maps)


@pytest.mark.parametrize('size', [(5, 6), (5, 11)], ids=str)
def test_pyramid_equals_the_loops(size):
    block, x = _double(PyramidObjectContext), _image(4, *size)
    contexts, maps = zip(*(context_of_blocks(stage, x) for stage in block.stages), strict=True)
    torch.testing.assert_close(block(x), block.out_conv(torch.cat([block.up_conv(x), *contexts], dim=1)))
    _assert_map(block, x, maps)


@pytest.mark.parametrize('openseg', [False, True])
def test_asp_equals_the_loops(openseg):
    options = dict(shared_query=False, context_conv=False) if openseg else {}
    block, x = _double(ASPObjectContext, dilations=(1, 2), **options), _image()
    context, weights = _pooled(block.context, block.in_conv(x))
    branches = [block.context_conv(context), *(conv(x) for conv in block.convs)]
    torch.testing.assert_close(block(x), block.out_conv(torch.cat(branches, dim=1)))
    _assert_map(block, x, [weights])


def test_gradients_of_the_blocks_equal_those_of_plain_attention():
    query, key, value = (torch.randn(2, c, 5, 8, dtype=torch.float64, requires_grad=True) for c in (3, 3, 2))
    same_block = torch.zeros(40, 40, dtype=torch.bool)
    for block in naive.blocks(5, 8, 3):
        index = torch.tensor([i * 8 + j for i, j in block])
        same_block[index[:, None], index] = True
    weights = torch.einsum('bdi,bdj->bij', query.flatten(2), key.flatten(2)).masked_fill(~same_block, -torch.inf)
    expected = torch.einsum('bij,bej->bei', weights.softmax(2), value.flatten(2)).unflatten(2, (5, 8))
    out = block_attention(query, key, value, 3, 1.0)
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    torch.testing.assert_close(torch.autograd.grad(out, (query, key, value), cotangent),
                               torch.autograd.grad(expected, (query, key, value), cotangent))


def test_a_grid_of_50_blocks_takes_few_calls(monkeypatch):
    calls = []
    attention = block_attention.__globals__['softmax_attention']
    monkeypatch.setitem(block_attention.__globals__, 'softmax_attention',
                        lambda *args: calls.append(args) or attention(*args))
    PyramidObjectContext(4)(torch.randn(1, 4, 13, 14))
    assert len(calls) == 1 + 3 * 4


def test_maps_smaller_than_a_pool_or_the_grid():
    x = torch.randn(2, 4, 1, 2)
    assert BaseObjectContext(4, sizes=(3,)).eval()(x).shape == x.shape
    weights = randomize(PyramidObjectContext(4, scales=(6,))).eval().attention_map(x, torch.tensor([[0, 1]]))
    torch.testing.assert_close(weights, torch.tensor([0.0, 1.0]).expand(2, 1, 1, 2))


@pytest.mark.parametrize('cls', [BaseObjectContext, PyramidObjectContext, ASPObjectContext])
def test_the_context_starts_at_zero(cls):
    block = cls(4)
    stages = block.stages if hasattr(block, 'stages') else [block.context]
    for stage in stages:
        assert torch.equal(stage(_image(2 if cls is ASPObjectContext else 4).float()).abs().max(), torch.tensor(0.0))
        assert not stage.out_conv.bias.any()


def test_widths_of_the_official_networks():
    base, pyramid, asp = BaseObjectContext(512).stages[0], PyramidObjectContext(512).stages[3], ASPObjectContext(512)
    assert (base.key.conv.out_channels, base.value.out_channels) == (256, 256)
    assert (pyramid.key.conv.out_channels, pyramid.value.out_channels, pyramid.num_blocks) == (256, 512, 6)
    assert (asp.context.key.conv.out_channels, asp.context.value.out_channels, asp.context.size) == (128, 256, 2)
    assert [conv.conv.dilation for conv in asp.convs] == [(1, 1), (12, 12), (24, 24), (36, 36)]
    assert all(isinstance(m, nn.BatchNorm2d) and isinstance(a, nn.LeakyReLU) and a.negative_slope == 0.01
               for m, a in ((base.key.norm, base.key.act), (asp.out_conv.norm, asp.out_conv.act)))


@pytest.mark.parametrize(('cls', 'wrong'), [
    (BaseObjectContext, dict(sizes=())), (BaseObjectContext, dict(sizes=2)),
    (PyramidObjectContext, dict(scales=(0, 1))), (ASPObjectContext, dict(size=1.5)),
    (ASPObjectContext, dict(dilations=12))], ids=str)
def test_wrong_arguments(cls, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        cls(4, **wrong)
