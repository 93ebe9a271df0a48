import pytest
import torch
import torch.nn.functional as F

from mmseg_attn.ops.triton.carafe import carafe_backward, carafe_forward

from .closeness import DTYPES, assert_equals_oracle

# The quick tests compare each kernel with PyTorch's operators in test_dispatch.py.
pytestmark = pytest.mark.slow


def _oracle(x, masks, kernel_size, groups, scale_factor):
    channels, height, width = x.shape[1:]
    inputs = F.unfold(x, kernel_size, padding=kernel_size // 2).unflatten(2, (height, width))
    inputs = inputs.repeat_interleave(scale_factor, 2).repeat_interleave(scale_factor, 3)
    inputs = inputs.unflatten(1, (groups, channels // groups, kernel_size**2))
    return (inputs * masks.unflatten(1, (groups, 1, kernel_size**2))).sum(3).flatten(1, 2)


def _check(x, masks, kernel_size, groups, scale_factor, channels_last=False):
    exact = [t.double().requires_grad_() for t in (x, masks)]
    expected = _oracle(*exact, kernel_size, groups, scale_factor)
    grad = torch.randn_like(expected).to(x.dtype)
    expected_grads = torch.autograd.grad(expected, exact, grad.double())
    if channels_last:
        x, masks, grad = (t.contiguous(memory_format=torch.channels_last) for t in (x, masks, grad))
    assert_equals_oracle(carafe_forward(x, masks, kernel_size, groups, scale_factor), expected, x.dtype)
    grads = carafe_backward(grad, x, masks, kernel_size, groups, scale_factor)
    for actual, exact_grad, tensor in zip(grads, expected_grads, (x, masks), strict=True):
        assert_equals_oracle(actual, exact_grad, tensor.dtype)


def _inputs(shape, kernel_size, groups, scale_factor, device, dtype=torch.float32, masks_dtype=None):
    batch, _, height, width = shape
    masks = torch.randn(batch, groups * kernel_size**2, scale_factor * height, scale_factor * width)
    return torch.randn(shape).to(device, dtype), masks.to(device, masks_dtype or dtype)


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize(('shape', 'kernel_size', 'groups', 'scale_factor'), [
    ((2, 6, 5, 7), 3, 2, 2),
    ((1, 3, 1, 4), 5, 1, 3),
], ids=str)
def test_equals_the_definition(shape, kernel_size, groups, scale_factor, dtype, device):
    config = kernel_size, groups, scale_factor
    _check(*_inputs(shape, *config, device, dtype), *config)


@pytest.mark.parametrize(('shape', 'kernel_size', 'groups', 'scale_factor'), [
    ((1, 1, 1, 1), 1, 1, 1),
    ((1, 2, 1, 1), 7, 1, 2),     # more taps than pixels
    ((1, 70, 3, 5), 3, 1, 1),    # channels of two programs
    ((1, 20, 13, 11), 1, 1, 2),  # pixels of two programs, channels too
    ((1, 2, 2, 3), 3, 1, 5),     # rows of outputs of several programs
    ((1, 2, 1, 2), 1, 2, 8),
], ids=str)
def test_sizes(shape, kernel_size, groups, scale_factor, device):
    config = kernel_size, groups, scale_factor
    _check(*_inputs(shape, *config, device), *config)


def test_masks_of_another_dtype(device):
    _check(*_inputs((1, 4, 3, 5), 3, 1, 2, device, torch.float16, torch.float32), 3, 1, 2)


def test_channels_last(device):
    _check(*_inputs((2, 6, 3, 5), 3, 2, 2, device), 3, 2, 2, channels_last=True)


def test_no_images(device):
    x, masks = _inputs((0, 6, 3, 5), 3, 2, 2, device)
    assert carafe_forward(x, masks, 3, 2, 2).shape == (0, 6, 6, 10)
    grads = carafe_backward(x.new_empty(0, 6, 6, 10), x, masks, 3, 2, 2)
    assert [g.shape for g in grads] == [x.shape, masks.shape]
