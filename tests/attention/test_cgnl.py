from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from mmseg_attn.attention.cgnl import CompactGeneralizedNonLocal, compact_attention, kernel_coefficients
from tests.attention.oracles import pixels, unflatten
from tests.attention.variants import CHANNELS, any_options
from tests.helpers import assert_matches_golden, randomize
from tests.naive import cgnl as naive

OFFICIAL = {'t': 'query', 'p': 'key', 'g': 'value', 'z': 'out_conv', 'gn': 'norm'}
POINTS = torch.tensor([[0, 0], [1, 3], [2, 1]])
BLOCKS = {
    '': partial(CompactGeneralizedNonLocal, CHANNELS, num_groups=4),
    'rbf': partial(CompactGeneralizedNonLocal, CHANNELS, kernel='rbf', use_scale=True),
    # Without the scale, sums of the battery's random values are so large that rounding exceeds what it allows.
    'batch_norm': partial(
        CompactGeneralizedNonLocal, CHANNELS, num_groups=2, norm_layer=nn.BatchNorm2d, use_scale=True),
    'no_norm': partial(CompactGeneralizedNonLocal, CHANNELS, num_groups=2, norm_layer=None, use_scale=True),
}
HEADS = {'CGNLHead': [dict(num_groups=4), dict(num_groups=2, kernel='rbf', group_norm=False, use_scale=True)]}


def _projections(block, x):
    return [pixels(conv(x)) for conv in (block.query, block.key, block.value)]


def _options(block):
    order = max(block.coefficients)
    return block.num_groups, 'dot_product' if order == 1 else 'rbf', order, block.use_scale


def oracle(block, x):
    context = naive.attend(*_projections(block, x), *_options(block))
    return x + block.norm(block.out_conv(unflatten(context, x)))


PROPERTIES = {
    '': any_options(
        CompactGeneralizedNonLocal, oracle, examples=6, channels=st.sampled_from([4, 8]),
        key_channels=st.sampled_from([2, 4]), num_groups=st.integers(1, 2),
        kernel=st.sampled_from(['dot_product', 'rbf']), order=st.integers(2, 4), use_scale=st.booleans(),
        norm_layer=st.sampled_from(['group', nn.BatchNorm2d, None])),
}


def _assert_same_gradients(out, expected, leaves):
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    for ours, theirs in zip(torch.autograd.grad(out, leaves, cotangent),
                            torch.autograd.grad(expected, leaves, cotangent), strict=True):
        torch.testing.assert_close(ours, theirs)


# Kernels whose terms are all of the same order, since those of 'rbf' hardly see the high powers.
@pytest.mark.parametrize('use_scale', [False, True])
@pytest.mark.parametrize('coefficients', [{1: 1.0}, {0: 0.7, 1: -0.5, 2: 1.3, 3: 0.2}], ids=str)
def test_equals_the_loops(monkeypatch, coefficients, use_scale):
    monkeypatch.setattr(naive, 'kernel', lambda t, p, *_: sum(a * (t * p)**q for q, a in coefficients.items()))
    inputs = [torch.randn(2, 4, 6, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    attention = partial(compact_attention, num_groups=2, coefficients=coefficients, use_scale=use_scale)
    expected = torch.stack([naive.attend(*(t[i].T for t in inputs), 2, '', 0, use_scale).T for i in range(2)])
    _assert_same_gradients(attention(*inputs), expected, inputs)
    assert torch.autograd.gradcheck(attention, inputs)


@pytest.mark.parametrize('order', [1, 2, 3])
def test_coefficients_are_those_of_the_taylor_series(order):
    t, p = torch.randn(2, 5, dtype=torch.float64)
    ours = sum(a * (t * p)**q for q, a in kernel_coefficients('rbf', order).items())
    torch.testing.assert_close(ours, naive.kernel(t, p, 'rbf', order), rtol=1e-14, atol=0)
    remainder = (torch.exp(-naive.GAMMA * (2 - 2 * t * p)) - ours).abs()
    assert (remainder <= 2 * (2 * naive.GAMMA * (t * p).abs())**(order + 1) + 1e-15).all()
    assert kernel_coefficients('dot_product', order) == {1: 1.0}


@pytest.mark.parametrize('name', ['cgnl', 'cgnl_g1', 'cgnlx_o2_scale', 'cgnlx_o3'])
def test_official_output(golden, name):
    official = golden(name)
    config = official['config']
    block = CompactGeneralizedNonLocal(
        config['inplanes'], key_channels=config['planes'], num_groups=config['groups'], use_scale=config['use_scale'],
        kernel='rbf' if 'order' in config else 'dot_product', order=config.get('order', 3))
    assert_matches_golden(block, official, OFFICIAL)


@pytest.mark.parametrize('norm_layer', ['group', nn.BatchNorm2d, None])
@pytest.mark.parametrize('kernel', ['dot_product', 'rbf'])
def test_block_and_its_gradients_equal_the_loops(kernel, norm_layer):
    block = CompactGeneralizedNonLocal(8, num_groups=2, kernel=kernel, norm_layer=norm_layer)
    block = randomize(block).double().eval()
    x = torch.randn(2, 8, 3, 2, dtype=torch.float64, requires_grad=True)
    expected = torch.cat([oracle(block, x[i:i + 1]) for i in range(2)])
    _assert_same_gradients(block(x), expected, [x, *block.parameters()])


def test_half_precision_keeps_the_sum_of_many_pixels():
    # The sum is 130,000, and float16 ends at 65,504.
    block = randomize(CompactGeneralizedNonLocal(8, num_groups=2)).eval()
    for conv in block.query, block.key, block.value:
        nn.init.constant_(conv.weight, 0.125)
    x = 1 + torch.rand(1, 8, 160, 160)
    with torch.autocast('cpu', torch.float16):
        out = block(x)
    torch.testing.assert_close(out, block(x), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize(('kernel', 'use_scale'), [('dot_product', False), ('rbf', True)])
@torch.no_grad()
def test_attention_map_is_that_of_the_loops_and_sums_to_the_context(kernel, use_scale):
    block = CompactGeneralizedNonLocal(8, num_groups=2, kernel=kernel, use_scale=use_scale)
    block = randomize(block).double().eval()
    x, index = torch.randn(2, 8, 3, 4, dtype=torch.float64), 4 * POINTS[:, 0] + POINTS[:, 1]
    weights = block.attention_map(x, POINTS)
    for i in range(2):
        drawn = naive.parts(*_projections(block, x[i:i + 1]), *_options(block))
        torch.testing.assert_close(weights[i].flatten(1), naive.attention_map(drawn)[index])
        torch.testing.assert_close(weights[i].sum((1, 2)), drawn.sum(dim=1).abs().mean(dim=1)[index])


def _with_signs_only(block, x):
    """The output where the sum over the pixels is but its sign."""
    query, key, value = (conv(x).unflatten(1, (block.num_groups, -1)) for conv in (block.query, block.key, block.value))
    sums = (key * value).sum((2, 3, 4), keepdim=True)
    return x + block.norm(block.out_conv((sums.sign() * query).flatten(1, 2)))


@pytest.mark.parametrize(('norm_layer', 'erased'), [('group', True), (nn.BatchNorm2d, False), (None, False)])
def test_which_norms_erase_the_attention(norm_layer, erased):
    block = CompactGeneralizedNonLocal(16, num_groups=2, norm_layer=norm_layer)
    block = randomize(block).double().eval()
    x = torch.randn(2, 16, 9, 7, dtype=torch.float64)
    difference = (block(x) - _with_signs_only(block, x)).abs().max()
    assert difference < 1e-3 if erased else difference > 0.1


@pytest.mark.parametrize('norm_layer', ['group', nn.BatchNorm2d, nn.InstanceNorm2d, None])
def test_starts_as_the_identity(norm_layer):
    x = torch.randn(2, 16, 5, 6)
    before = x.clone()
    assert torch.equal(CompactGeneralizedNonLocal(16, norm_layer=norm_layer).eval()(x), x)
    assert not torch.equal(CompactGeneralizedNonLocal(16, norm_layer=norm_layer, zero_init=False).eval()(x), x)
    assert torch.equal(x, before)


def test_starts_as_the_official_network_does():
    block = CompactGeneralizedNonLocal(512)
    for conv, shape in (block.query, (256, 512, 1, 1)), (block.out_conv, (512, 32, 1, 1)):
        assert conv.weight.shape == shape
        assert conv.bias is None
        assert 0.009 < conv.weight.std() < 0.011
    assert block.norm.num_groups == 8
    assert not block.norm.weight.any()
    assert not block.norm.bias.any()


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(kernel='gaussian'), "kernel must be one of .*'gaussian'"),
    (dict(num_groups=3), 'num_groups=3 must divide channels=16 and key_channels=8'),
    (dict(key_channels=12), 'num_groups=8 must divide channels=16 and key_channels=12'),
    (dict(norm_layer='batch'), "norm_layer must be 'group', None or .* got 'batch'"),
    *[({name: 0}, f'{name} must be a positive integer, got 0') for name in ('num_groups', 'key_channels', 'order')]])
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        CompactGeneralizedNonLocal(16, **wrong)
