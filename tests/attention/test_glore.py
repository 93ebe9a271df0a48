from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from mmseg_attn.attention.glore import GlobalReasoning, global_reasoning
from tests.attention.oracles import unflatten
from tests.attention.variants import CHANNELS, NORMS, WIDTHS, any_options
from tests.helpers import assert_matches_golden, randomize
from tests.naive import glore as naive

OFFICIAL = {'conv_state': 'state', 'conv_proj': 'projection', 'gcn.conv1': 'node_conv', 'gcn.conv2': 'state_conv',
            'conv_extend': 'out_conv', 'fc_2': 'out_conv', 'blocker': 'norm'}
POINTS = torch.tensor([[0, 0], [4, 5], [2, 3]])
BLOCKS = {
    '': partial(GlobalReasoning, CHANNELS, num_nodes=6),
    'few_states': partial(GlobalReasoning, CHANNELS, num_nodes=6, num_states=3),
    'no_norm': partial(GlobalReasoning, CHANNELS, num_nodes=6, norm_layer=None),
}
HEADS = {'GloReHead': [dict(num_nodes=5), dict(num_nodes=5, num_states=3, normalize=False)]}


def oracle(block, x):
    context = naive.global_reasoning(
        block.state(x)[0].flatten(1), block.projection(x)[0].flatten(1), block.node_conv.weight[..., 0],
        block.node_conv.bias, block.state_conv.weight[..., 0], block.normalize)
    return x + block.norm(block.out_conv(unflatten(context.T, x)))


PROPERTIES = {
    '': any_options(
        GlobalReasoning, oracle, num_nodes=WIDTHS, num_states=WIDTHS,
        normalize=st.booleans(), norm_layer=NORMS),
}


@pytest.mark.parametrize('normalize', [True, False])
def test_equals_the_loops(normalize):
    sizes = (2, 4, 5), (2, 3, 5), (3, 3), (3,), (4, 4)
    inputs = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]
    out = global_reasoning(*inputs, normalize=normalize)
    expected = torch.stack([naive.global_reasoning(*(t[i] for t in inputs[:2]), *inputs[2:], normalize)
                            for i in range(2)])
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    for ours, theirs in zip(torch.autograd.grad(out, inputs, cotangent),
                            torch.autograd.grad(expected, inputs, cotangent), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert torch.autograd.gradcheck(partial(global_reasoning, normalize=normalize), inputs)


@pytest.mark.parametrize(('normalize', 'of_projection', 'of_update'), [(True, 0.01, 10), (False, 1, 1e-4)])
def test_half_precision_keeps_the_nodes_of_many_pixels(normalize, of_projection, of_update):
    states, projection = 1 + torch.rand(1, 4, 40000), of_projection * (1 + torch.rand(1, 3, 40000))
    states, projection = states.half(), projection.half()
    weights = torch.rand(3, 3), torch.zeros(3), of_update * torch.rand(4, 4)
    expected = global_reasoning(states.float(), projection.float(), *weights, normalize=normalize)
    with torch.autocast('cpu', torch.float16):
        out = global_reasoning(states, projection, *weights, normalize=normalize)
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.float(), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize(('name', 'eps'), [('unit2d_norm1', 1e-4), ('seg_unit', 1e-5)])
def test_official_output(golden, name, eps):
    official = golden(f'glore_{name}')
    config = official['config']
    block = GlobalReasoning(config['num_in'], num_nodes=config['num_mid'], norm_layer=partial(nn.BatchNorm2d, eps=eps))
    assert_matches_golden(block, official, OFFICIAL)


@pytest.mark.parametrize('normalize', [True, False])
def test_block_and_its_gradients_equal_the_loops(normalize):
    block = randomize(GlobalReasoning(6, num_nodes=3, num_states=2, normalize=normalize)).double().eval()
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64, requires_grad=True)
    weights = block.node_conv.weight[..., 0], block.node_conv.bias, block.state_conv.weight[..., 0]
    context = torch.stack([naive.global_reasoning(block.state(x)[i].flatten(1), block.projection(x)[i].flatten(1),
                                                  *weights, normalize) for i in range(2)])
    expected = x + block.norm(block.out_conv(context.unflatten(2, (3, 4))))
    out, leaves = block(x), [x, *block.parameters()]
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    for ours, theirs in zip(torch.autograd.grad(out, leaves, cotangent),
                            torch.autograd.grad(expected, leaves, cotangent), strict=True):
        torch.testing.assert_close(ours, theirs)


def _from_the_map(block, x):
    """The block's output at the points, from its attention map: without the activation."""
    states = torch.einsum('bphw,bshw->bsp', block.attention_map(x, POINTS), block.state(x))
    at_points = x[:, :, POINTS[:, 0], POINTS[:, 1]]
    bias = torch.einsum('n,bnp->bp', block.node_conv.bias, block.projection(at_points[..., None])[..., 0])
    context = block.state_conv(states + bias[:, None])
    return at_points + block.norm(block.out_conv(context[..., None]))[..., 0]


@pytest.mark.parametrize('normalize', [True, False])
def test_attention_map_rebuilds_the_context_without_activation(normalize):
    block = randomize(GlobalReasoning(8, num_nodes=5, normalize=normalize, act_layer=None)).double().eval()
    x = torch.randn(2, 8, 5, 6, dtype=torch.float64)
    torch.testing.assert_close(_from_the_map(block, x), block(x)[:, :, POINTS[:, 0], POINTS[:, 1]])


def test_attention_map_rebuilds_the_context_of_positive_nodes():
    block = randomize(GlobalReasoning(8, num_nodes=5)).double().eval()
    x = torch.randn(2, 8, 5, 6, dtype=torch.float64)
    at_points = block(x)[:, :, POINTS[:, 0], POINTS[:, 1]]
    assert not torch.allclose(_from_the_map(block, x), at_points)
    block.node_conv.bias.data += 10
    torch.testing.assert_close(_from_the_map(block, x), block(x)[:, :, POINTS[:, 0], POINTS[:, 1]])


def test_default_widths():
    block = GlobalReasoning(8)
    assert block.node_conv.weight.shape == (64, 64, 1)
    assert block.state_conv.weight.shape == (128, 128, 1)


@pytest.mark.parametrize('norm_layer', [nn.BatchNorm2d, nn.InstanceNorm2d, None])
def test_starts_as_the_identity(norm_layer):
    x = torch.randn(2, 8, 5, 6)
    torch.testing.assert_close(GlobalReasoning(8, norm_layer=norm_layer).eval()(x), x)
    assert not torch.equal(GlobalReasoning(8, norm_layer=norm_layer, zero_init=False).eval()(x), x)


@pytest.mark.parametrize('wrong', [dict(num_nodes=0), dict(num_states=0)])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match=f'{next(iter(wrong))} must be a positive integer'):
        GlobalReasoning(8, **wrong)
