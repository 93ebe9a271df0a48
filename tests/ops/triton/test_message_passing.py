import pytest
import torch

from mmseg_attn.ops.triton.message_passing import message_passing_backward, message_passing_forward

from .closeness import DTYPES, assert_equals_oracle

# The quick tests compare each kernel with PyTorch's operators in test_dispatch.py.
pytestmark = pytest.mark.slow


def _oracle(x, positions, weights):
    """Every sample as a sum over all pixels, each with the tent function of its distance."""
    row, column = positions.unbind(2)
    tents = []
    for place, size in zip((row, column), x.shape[2:], strict=True):
        tents.append((1 - (place[..., None] - torch.arange(size, device=x.device)).abs()).clamp_min(0))
    x = x.unflatten(1, (weights.shape[1], -1))
    return torch.einsum('bgcij,bkhwi,bkhwj,bgkhw->bgchw', x, *tents, weights).flatten(1, 2)


def _inputs(shape, groups, taps, device, dtype=torch.float32, weights_dtype=None):
    batch, _, height, width = shape
    x = torch.randn(shape).to(device, dtype)
    # A third of them outside of the map or in part.
    positions = torch.rand(batch, taps, 2, height, width) * 1.5 - 0.25
    positions *= torch.tensor([height, width])[:, None, None]
    weights = torch.randn(batch, groups, taps, height, width)
    return x, positions.to(device), weights.to(device, weights_dtype or dtype)


def _check(x, positions, weights, channels_last=False):
    exact = [t.double().requires_grad_() for t in (x, positions, weights)]
    expected = _oracle(*exact)
    grad = torch.randn_like(expected).to(x.dtype)
    expected_grads = torch.autograd.grad(expected, exact, grad.double())
    if channels_last:
        x, grad = (t.contiguous(memory_format=torch.channels_last) for t in (x, grad))
        positions, weights = (t.transpose(3, 4).contiguous().transpose(3, 4) for t in (positions, weights))
    assert_equals_oracle(message_passing_forward(x, positions, weights), expected, x.dtype)
    grads = message_passing_backward(grad, x, positions, weights)
    for actual, exact_grad, tensor in zip(grads, expected_grads, (x, positions, weights), strict=True):
        assert_equals_oracle(actual, exact_grad, tensor.dtype)


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize(('shape', 'groups', 'taps'), [((1, 6, 5, 7), 2, 3), ((2, 5, 1, 4), 1, 1)], ids=str)
def test_equals_the_definition(shape, groups, taps, dtype, device):
    _check(*_inputs(shape, groups, taps, device, dtype))


@pytest.mark.parametrize(('shape', 'groups', 'taps'), [
    ((1, 1, 1, 1), 1, 2),
    ((1, 140, 2, 3), 2, 1),   # channels of two programs for each group
    ((1, 33, 5, 9), 1, 1),    # pixels of two programs
    ((1, 3, 6, 1), 3, 1),
], ids=str)
def test_sizes(shape, groups, taps, device):
    _check(*_inputs(shape, groups, taps, device))


def test_weights_of_another_dtype(device):
    _check(*_inputs((1, 4, 3, 5), 1, 2, device, torch.float16, torch.float32))


def test_strides(device):
    _check(*_inputs((2, 6, 3, 5), 1, 2, device), channels_last=True)


def _one_sample(row, column, device):
    x = torch.arange(1.0, 7.0, device=device).view(1, 1, 2, 3)
    positions = torch.tensor([row, column], device=device).view(1, 1, 2, 1, 1).expand(1, 1, 2, 2, 3)
    return x, positions, torch.ones(1, 1, 1, 2, 3, device=device)


@pytest.mark.parametrize(('row', 'column', 'expected'), [
    (0.0, 0.0, 1.0), (1.0, 2.0, 6.0), (1.0, 0.5, 4.5), (-0.75, 0.0, 0.25), (1.5, 2.5, 1.5), (-1.0, 1.0, 0.0),
    (2.0, 3.0, 0.0), (-0.5, -0.5, 0.25), (1e30, 0.0, 0.0), (0.0, -1e30, 0.0), (float('inf'), float('-inf'), 0.0),
])
def test_samples_at_and_beyond_the_border(row, column, expected, device):
    inputs = _one_sample(row, column, device)
    out = message_passing_forward(*inputs)
    assert torch.equal(out, torch.full_like(out, expected))


def test_positions_far_outside_have_no_gradient(device):
    inputs = _one_sample(-3.5, 1e20, device)
    for gradient in message_passing_backward(torch.ones_like(inputs[0]), *inputs):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_at_a_pixel_the_gradient_is_that_towards_the_next(device):
    inputs = _one_sample(0.0, 1.0, device)
    _, gradient, _ = message_passing_backward(torch.ones_like(inputs[0]), *inputs)
    assert torch.equal(gradient[:, :, 0], torch.full_like(gradient[:, :, 0], 3.0))
    assert torch.equal(gradient[:, :, 1], torch.full_like(gradient[:, :, 1], 1.0))


def test_no_images(device):
    inputs = _inputs((0, 6, 3, 5), 2, 2, device)
    assert message_passing_forward(*inputs).shape == (0, 6, 3, 5)
    assert [g.shape for g in message_passing_backward(inputs[0], *inputs)] == [t.shape for t in inputs]
