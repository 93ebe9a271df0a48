from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from mmseg_attn.attention.latentgnn import LatentGNN, latent_attention
from tests.attention.oracles import unflatten
from tests.attention.variants import CHANNELS, NORMS, WIDTHS, any_options
from tests.helpers import assert_matches_golden, randomize
from tests.naive import latentgnn as naive

# The second number of the official keys: 0 the convolution, 1 the norm.
PARTS = {'down_channel_v2l': 'gather_conv', 'down_channel_l2v': 'distribute_conv', 'down_channel': 'gather_conv',
         'up_channel': 'out_conv',
         **{f'LatentGNN_Kernel_{i}.{theirs}': f'kernels.{i}.{ours}' for i in range(4) for theirs, ours in (
             ('psi_v2l', 'gather'), ('psi_l2v', 'distribute'), ('psi', 'gather'), ('GraphConvWeight', 'graph_conv'))}}
OFFICIAL = {'gamma': 'gamma', **{f'{theirs}.{number}': f'{ours}.{layer}' for theirs, ours in PARTS.items()
                                 for number, layer in enumerate(('conv', 'norm'))}}
POINTS = torch.tensor([[0, 0], [4, 5], [2, 3]])
BLOCKS = {
    '': partial(LatentGNN, CHANNELS, latent_dims=(6,)),
    'kernels': partial(LatentGNN, CHANNELS, latent_dims=(5, 3), graph_conv=True),
    'symmetric': partial(LatentGNN, CHANNELS, latent_dims=(6,), mode='symmetric'),
    'no_residual': partial(LatentGNN, CHANNELS, latent_dims=(6,), residual=False),
    'no_norm': partial(LatentGNN, CHANNELS, latent_dims=(6,), norm_layer=None),
}
HEADS = {'LatentGNNHead': [dict(latent_dims=(6,)), dict(latent_dims=(5, 3), mode='symmetric', graph_conv=True)]}


def _weights(block, kernel, x):
    """v, a and b of an image (1, C, H, W), by the loops."""
    features, asking = (naive.unit(conv(x)[0].flatten(1), 0) if conv else None
                        for conv in (block.gather_conv, block.distribute_conv))
    gather = kernel.gather(unflatten(features.T, x))[0].flatten(1)
    if asking is None:
        return features, naive.unit(gather, 0), naive.unit(gather, 0)
    distribute = kernel.distribute(unflatten(asking.T, x))[0].flatten(1)
    return features, naive.unit(gather, 1), naive.unit(distribute, 0)


def oracle(block, x):
    contexts = [naive.latent_attention(*_weights(block, kernel, x)) for kernel in block.kernels]
    out = block.out_conv(torch.cat([kernel.graph_conv(unflatten(context.T, x))
                                    for kernel, context in zip(block.kernels, contexts, strict=True)], dim=1))
    return out if block.gamma is None else x + block.gamma * out


PROPERTIES = {
    '': any_options(
        LatentGNN, oracle, examples=6, latent_dims=st.lists(WIDTHS, min_size=1, max_size=2),
        reduction=st.sampled_from([1, 2, 9]), mode=st.sampled_from(['asymmetric', 'symmetric']),
        graph_conv=st.booleans(), residual=st.booleans(), norm_layer=NORMS),
}


def _assert_same_gradients(out, expected, leaves):
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    for ours, theirs in zip(torch.autograd.grad(out, leaves, cotangent),
                            torch.autograd.grad(expected, leaves, cotangent), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_equals_the_loops():
    inputs = [torch.randn(2, size, 7, dtype=torch.float64, requires_grad=True) for size in (4, 3, 3)]
    expected = torch.stack([naive.latent_attention(*(t[i] for t in inputs)) for i in range(2)])
    _assert_same_gradients(latent_attention(*inputs), expected, inputs)
    assert torch.autograd.gradcheck(latent_attention, inputs)


@pytest.mark.parametrize('name', ['asym', 'sym'])
def test_official_output(golden, name):
    official = golden(f'latentgnn_{name}')
    config = official['config']
    block = LatentGNN(config['in_channels'], latent_dims=config['latent_dims'], reduction=config['channel_stride'],
                      mode=config['mode'], graph_conv=config['graph_conv_flag'])
    assert_matches_golden(block, official, OFFICIAL)


def test_official_output_without_residual(golden):
    official = golden('latentgnn_asym_nores')
    config = official['config']
    del official['state_dict']['gamma']
    block = LatentGNN(config['in_channels'], latent_dims=config['latent_dims'], reduction=config['channel_stride'],
                      residual=False)
    assert_matches_golden(block, official, OFFICIAL)


@pytest.mark.parametrize('mode', ['asymmetric', 'symmetric'])
@pytest.mark.parametrize('latent_dims', [(3,), (3, 2)])
def test_block_and_its_gradients_equal_the_loops(mode, latent_dims):
    block = LatentGNN(6, latent_dims=latent_dims, reduction=2, mode=mode, graph_conv=len(latent_dims) > 1)
    block = randomize(block).double().eval()
    x = torch.randn(2, 6, 3, 2, dtype=torch.float64, requires_grad=True)
    expected = torch.cat([oracle(block, x[i:i + 1]) for i in range(2)])
    _assert_same_gradients(block(x), expected, [x, *block.parameters()])


@pytest.mark.parametrize('mode', ['asymmetric', 'symmetric'])
def test_zeros_in_half_precision(mode):
    """The norms' eps is zero in float16, and pixels that no node wants have a norm of zero."""
    block = randomize(LatentGNN(8, latent_dims=(3,), mode=mode))
    for kernel in block.kernels:
        nn.init.constant_(kernel.gather.norm.bias, -100)
    x = torch.randn(2, 8, 5, 6, requires_grad=True)
    with torch.autocast('cpu', torch.float16):
        out = block(x)
    out.sum().backward()
    assert out.isfinite().all()
    for tensor in x, *block.parameters():
        assert tensor.grad.isfinite().all()


@pytest.mark.parametrize('mode', ['asymmetric', 'symmetric'])
def test_half_precision_keeps_the_weights_of_many_pixels(mode):
    block = randomize(LatentGNN(8, latent_dims=(3,), mode=mode)).eval()
    x = torch.randn(1, 8, 200, 200)
    expected = block(x)
    with torch.autocast('cpu', torch.float16):
        out = block(x)
    assert (out - expected).abs().mean() < 2e-3 * (expected - x).abs().mean()


@pytest.mark.parametrize('mode', ['asymmetric', 'symmetric'])
@pytest.mark.parametrize('latent_dims', [(4,), (3, 2)])
def test_attention_map_rebuilds_the_context(mode, latent_dims):
    block = randomize(LatentGNN(6, latent_dims=latent_dims, reduction=2, mode=mode)).double().eval()
    x = torch.randn(2, 6, 5, 6, dtype=torch.float64)
    weights = block.attention_map(x, POINTS)
    assert (weights >= 0).all()
    for i in range(2):
        kernels = [naive.pixel_weights(*_weights(block, kernel, x[i:i + 1])) for kernel in block.kernels]
        expected = sum(kernels) / len(kernels)
        torch.testing.assert_close(weights[i].flatten(1), expected[6 * POINTS[:, 0] + POINTS[:, 1]])
    if len(latent_dims) == 1:
        values = torch.nn.functional.normalize(block.gather_conv(x), dim=1)
        context = block.out_conv(torch.einsum('bphw,bchw->bcp', weights, values)[..., None])[..., 0]
        x, out = (t[:, :, POINTS[:, 0], POINTS[:, 1]] for t in (x, block(x)))
        torch.testing.assert_close(x + block.gamma * context, out)


def test_attention_map_has_the_weights_of_evaluation():
    block, x = randomize(LatentGNN(8, latent_dims=(3,))), torch.randn(2, 8, 5, 6)
    torch.testing.assert_close(block.train().attention_map(x, POINTS), block.eval().attention_map(x, POINTS))


@pytest.mark.parametrize('mode', ['asymmetric', 'symmetric'])
def test_starts_as_the_identity(mode):
    x = torch.randn(2, 8, 5, 6)
    before = x.clone()
    block = LatentGNN(8, mode=mode, graph_conv=True)
    assert torch.equal(block(x), x)
    nn.init.ones_(block.gamma)
    assert not torch.equal(block(x), x)
    assert torch.equal(x, before)


def test_default_widths():
    block = LatentGNN(512, graph_conv=True)
    kernel, = block.kernels
    assert kernel.gather.conv.weight.shape == (100, 128, 1, 1)
    assert 0.009 < kernel.graph_conv.conv.weight.std() < 0.011
    assert not hasattr(LatentGNN(8, residual=False).gamma, 'shape')


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(mode='both'), "mode must be one of .*'both'"), (dict(reduction=0), 'reduction must be a positive integer'),
    (dict(latent_dims=()), r'latent_dims must be a sequence of positive integers, got \(\)'),
    (dict(latent_dims=(3, 0)), r'latent_dims must be a sequence of positive integers, got \(3, 0\)')])
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        LatentGNN(8, **wrong)
