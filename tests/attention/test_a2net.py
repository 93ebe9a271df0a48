from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from mmseg_attn.attention.a2net import DoubleAttention, double_attention
from tests.attention.oracles import pool, resize, unflatten
from tests.attention.variants import CHANNELS, NORMS, WIDTHS, any_options
from tests.helpers import GOLDEN, assert_matches_golden, randomize
from tests.naive import a2net as naive

PORT = {'convA': 'value', 'convB': 'gather', 'convV': 'distribute', 'conv_reconstruct': 'out_conv'}
OPENSEG = {'da_context.f_down': 'value', 'da_context.f_up': 'out_conv',
           'conv_bn_dropout.0': 'fuse.conv', 'conv_bn_dropout.1.0': 'fuse.norm',
           **{f'da_context.f_{name}.{theirs}': f'{name}.{ours}' for name in ('gather', 'distribute')
              for theirs, ours in (('0', '0.conv'), ('1.0', '0.norm'), ('2', '1.conv'), ('3.0', '1.norm'))}}
BLOCKS = {
    '': partial(DoubleAttention, CHANNELS),
    'scale': partial(DoubleAttention, CHANNELS, scale=2),
    'cat': partial(DoubleAttention, CHANNELS, fusion='cat'),
    'no_norm': partial(DoubleAttention, CHANNELS, norm_layer=None),
}
HEADS = {'A2Head': [dict(), dict(concat_input=False, scale=2), dict(fusion='cat')]}


def oracle(block, x):
    source = pool(x, block.scale)
    context = naive.double_attention(
        *(layer(source)[0].flatten(1) for layer in (block.value, block.gather, block.distribute)))
    context = resize(block.out_conv(unflatten(context.T, source)), x.shape[2:])
    return x + block.norm(context) if block.fusion == 'add' else block.fuse(torch.cat([context, x], dim=1))


PROPERTIES = {
    '': any_options(
        DoubleAttention, oracle, examples=6, value_channels=WIDTHS, num_maps=WIDTHS,
        fusion=st.sampled_from(['add', 'cat']), scale=st.integers(1, 3), norm_layer=NORMS),
}


def _logits(*sizes):
    return [torch.randn(2, *size, dtype=torch.float64, requires_grad=True) for size in sizes]


def test_equals_the_loops():
    inputs = _logits((3, 5), (4, 5), (4, 5))
    out = double_attention(*inputs)
    expected = torch.stack([naive.double_attention(*(t[i] for t in inputs)) for i in range(2)])
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    for ours, theirs in zip(torch.autograd.grad(out, inputs, cotangent),
                            torch.autograd.grad(expected, inputs, cotangent), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert torch.autograd.gradcheck(double_attention, inputs)


def test_half_precision_keeps_the_weights_of_many_pixels():
    values, gather, distribute = torch.rand(1, 4, 40000), 3 * torch.randn(1, 3, 40000), torch.randn(1, 3, 40000)
    expected = double_attention(values, gather, distribute)
    with torch.autocast('cpu', torch.float16):
        out = double_attention(values.half(), gather.half(), distribute.half())
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.float(), expected, rtol=1e-3, atol=0)


def test_port_output(golden):
    official = golden('a2_doubleattention')
    config = official['config']
    block = DoubleAttention(config['in_channels'], value_channels=config['c_m'], num_maps=config['c_n'],
                            norm_layer=None)
    assert_matches_golden(block, official, PORT, call=lambda block, x: block(x) - x)


def test_port_output_without_the_last_convolution(golden):
    official = golden('a2_doubleattention_noreconstruct')
    x, weights = official['input'], official['state_dict']
    projections = (F.conv2d(x, weights[f'conv{k}.weight'], weights[f'conv{k}.bias']).flatten(2) for k in 'ABV')
    torch.testing.assert_close(double_attention(*projections), official['output'].flatten(2), **GOLDEN)


def test_openseg_output(golden):
    official = golden('a2_openseg_module')
    config = official['config']
    block = DoubleAttention(config['channels'], num_maps=config['global_cnt'], fusion='cat')
    assert_matches_golden(block, official, OPENSEG)


def _context(block, x):
    """The block's result before the last norm or concatenation, from the loops."""
    source = F.max_pool2d(x, block.scale)
    projections = [p(source).flatten(2) for p in (block.value, block.gather, block.distribute)]
    context = torch.stack([naive.double_attention(*(p[i] for p in projections)) for i in range(len(x))])
    context = block.out_conv(context.unflatten(2, source.shape[-2:]))
    return F.interpolate(context, x.shape[-2:], mode='bilinear', align_corners=True)


@pytest.mark.parametrize('fusion', ['add', 'cat'])
@pytest.mark.parametrize('scale', [1, 2, 3])
def test_block_and_its_gradients_equal_the_loops(fusion, scale):
    block = randomize(DoubleAttention(6, num_maps=2, fusion=fusion, scale=scale)).double().eval()
    x = torch.randn(2, 6, 5, 4, dtype=torch.float64, requires_grad=True)
    context = _context(block, x)
    expected = x + block.norm(context) if fusion == 'add' else block.fuse(torch.cat([context, x], dim=1))
    out, leaves = block(x), [x, *block.parameters()]
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    for ours, theirs in zip(torch.autograd.grad(out, leaves, cotangent),
                            torch.autograd.grad(expected, leaves, cotangent), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('fusion', ['add', 'cat'])
@pytest.mark.parametrize('scale', [1, 2, 3, 7])
def test_attention_map_rebuilds_the_context(fusion, scale):
    block = randomize(DoubleAttention(8, fusion=fusion, scale=scale)).double().eval()
    x, points = torch.randn(2, 8, 5, 7, dtype=torch.float64), torch.tensor([[0, 0], [4, 6], [1, 2]])
    height, width = min(scale, 5), min(scale, 7)
    values = block.value(F.max_pool2d(x, (height, width)))
    values = values.repeat_interleave(height, 2).repeat_interleave(width, 3)
    weights = block.attention_map(x, points)
    torch.testing.assert_close(weights.sum((2, 3)), torch.ones(2, 3, dtype=torch.float64))
    weights = weights[..., :values.shape[2], :values.shape[3]]
    context = block.out_conv(torch.einsum('bphw,bchw->bcp', weights, values)[..., None])
    x, out = (t[:, :, points[:, 0], points[:, 1], None] for t in (x, block(x)))
    expected = x + block.norm(context) if fusion == 'add' else block.fuse(torch.cat([context, x], dim=1))
    torch.testing.assert_close(out, expected)


def test_attention_map_shares_the_weight_of_a_pool():
    block, x = randomize(DoubleAttention(8, scale=2)).eval(), torch.randn(2, 8, 5, 6)
    weights = block.attention_map(x, torch.tensor([[1, 1]]))[:, 0]
    assert torch.equal(weights[:, 4], torch.zeros(2, 6))
    assert torch.equal(weights[:, 0:2, 0:2].flatten(1), weights[:, :1, 0].expand(2, 4))


def test_default_widths():
    widths = {fusion: DoubleAttention(64, fusion=fusion).value.out_channels for fusion in ('add', 'cat')}
    assert widths == {'add': 16, 'cat': 32}
    assert DoubleAttention(64).gather.out_channels == 16
    assert DoubleAttention(64, fusion='cat').gather[1].conv.out_channels == 16


@pytest.mark.parametrize('norm_layer', [torch.nn.BatchNorm2d, torch.nn.InstanceNorm2d, None])
def test_starts_as_the_identity(norm_layer):
    x = torch.randn(2, 8, 5, 6)
    torch.testing.assert_close(DoubleAttention(8, norm_layer=norm_layer).eval()(x), x)
    assert not torch.equal(DoubleAttention(8, norm_layer=norm_layer, zero_init=False).eval()(x), x)


def test_the_context_of_cat_starts_at_zero():
    block = DoubleAttention(8, fusion='cat').eval()
    x = torch.randn(2, 8, 5, 6)
    torch.testing.assert_close(block(x), block.fuse(torch.cat([torch.zeros_like(x), x], dim=1)))


@pytest.mark.parametrize(('wrong', 'message'), [(dict(fusion='sum'), "fusion must be one of .*'sum'"),
                                                (dict(scale=0), 'scale must be a positive integer, got 0'),
                                                (dict(num_maps=0), 'num_maps must be a positive integer, got 0'),
                                                (dict(value_channels=-1), 'value_channels must be a positive integer')])
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        DoubleAttention(8, **wrong)
