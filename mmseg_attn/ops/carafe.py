"""Content-aware reassembly of features: upsampling with a kernel of its own for every output pixel.

Shapes: B batch, C channels, G groups of channels, k width of the kernels, s scale factor, H and W of the input.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from . import triton
from .checks import check_positive
from .operators import differentiable_gradients, is_exporting, operator, register_flops


def carafe(x: Tensor, masks: Tensor, kernel_size: int, groups: int, scale_factor: int) -> Tensor:
    """Every output pixel is the sum, weighted by its mask, of the k x k input pixels around the one it lies in.

        out[b, c, y, x] = sum_ij input[b, c, y//s + i - k//2, x//s + j - k//2] * masks[b, (g*k + i)*k + j, y, x]

    with g the group of channel c. Pixels beyond the border are zero, and the other weights do not grow for them.
    The time is O(B C k^2 s^2 H W), the memory that of a few tensors of the output's size. Sums are in float32 for
    half inputs.

    Args:
        x: (B, C, H, W).
        masks: (B, G k^2, s H, s W).
        kernel_size: k, odd.
        groups: G, a divisor of C. All channels of a group share their masks.
        scale_factor: s.

    Returns:
        (B, C, s H, s W) in the dtype of ``x``.

    Raises:
        ValueError: an argument outside these bounds.
    """
    if x.ndim != 4:
        raise ValueError(f'x must be (B, C, H, W), got the shape {tuple(x.shape)}')
    check_kernel(int(x.shape[1]), kernel_size, groups, scale_factor)
    batch, _, height, width = x.shape
    expected = batch, groups * kernel_size**2, scale_factor * height, scale_factor * width
    if tuple(masks.shape) != expected:
        raise ValueError(f'masks must have the shape {expected} for x of shape {tuple(x.shape)}, kernel_size='
                         f'{kernel_size}, groups={groups}, scale_factor={scale_factor}; got {tuple(masks.shape)}')
    if is_exporting():
        return _sum_of_taps(x, masks, kernel_size, groups, scale_factor)
    return reassemble(x, masks, kernel_size, groups, scale_factor)


@operator
def reassemble(x: Tensor, masks: Tensor, kernel_size: int, groups: int, scale_factor: int) -> Tensor:
    """:func:`carafe` without its checks."""
    if triton.available(x):
        from .triton.carafe import carafe_forward
        return carafe_forward(x, masks, kernel_size, groups, scale_factor)
    if not len(x):  # PyTorch's pixel_unshuffle fails
        return x.new_empty(*x.shape[:2], *masks.shape[2:])
    return _sum_of_taps(x, masks, kernel_size, groups, scale_factor)


@operator
def reassemble_backward(grad: Tensor, x: Tensor, masks: Tensor, kernel_size: int, groups: int,
                        scale_factor: int) -> tuple[Tensor, Tensor]:
    """Gradients of ``x`` and ``masks``."""
    if triton.available(x):
        from .triton.carafe import carafe_backward
        return carafe_backward(grad, x, masks, kernel_size, groups, scale_factor)
    if not len(x):
        return x.new_empty(x.shape), masks.new_empty(masks.shape)
    padded, weights = _pad_and_unshuffle(x, masks, kernel_size, groups, scale_factor)
    grad = F.pixel_unshuffle(grad.to(padded.dtype), scale_factor).unflatten(1, (groups, -1, scale_factor**2))
    grad_padded = torch.zeros_like(padded)
    grad_weights = torch.empty_like(weights)
    product = torch.empty_like(grad)
    for tap, (shifted, grad_shifted) in enumerate(_shifted_views(kernel_size, padded, grad_padded)):
        torch.mul(grad, shifted, out=product)
        torch.sum(product, dim=2, out=grad_weights[:, :, tap])
        torch.mul(grad, weights[:, :, tap, None], out=product)
        grad_shifted += product.sum(dim=3, keepdim=True)
    grad_masks = F.pixel_shuffle(grad_weights.flatten(1, 3), scale_factor)
    grad_x = F.pad(grad_padded.squeeze(3).flatten(1, 2), (-(kernel_size // 2),) * 4)
    return grad_x.to(x.dtype), grad_masks.to(masks.dtype)


def _sum_of_taps(x: Tensor, masks: Tensor, kernel_size: int, groups: int, scale_factor: int) -> Tensor:
    padded, weights = _pad_and_unshuffle(x, masks, kernel_size, groups, scale_factor)
    out = None
    for (shifted, ), weight in zip(_shifted_views(kernel_size, padded), weights.unsqueeze(2).unbind(3), strict=True):
        out = shifted * weight if out is None else out.addcmul_(shifted, weight)
    assert out is not None
    return F.pixel_shuffle(out.to(x.dtype).flatten(1, 3), scale_factor)


def _pad_and_unshuffle(x: Tensor, masks: Tensor, kernel_size: int, groups: int,
                       scale_factor: int) -> tuple[Tensor, Tensor]:
    """Padded input (B, G, C/G, 1, H + k - 1, W + k - 1) and weights (B, G, k^2, s^2, H, W), in float32 or better.

    The s x s output pixels of one input pixel become channels: then every tap is a product of long dense rows.
    """
    dtype = torch.promote_types(torch.promote_types(x.dtype, masks.dtype), torch.float32)
    weights = F.pixel_unshuffle(masks, scale_factor).contiguous().to(dtype)
    padded = F.pad(x.contiguous().to(dtype), (kernel_size // 2,) * 4)
    return (padded.unflatten(1, (groups, -1)).unsqueeze(3),
            weights.unflatten(1, (groups, kernel_size**2, scale_factor**2)))


def _shifted_views(kernel_size: int, *padded: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Views (..., H, W) of tensors (..., H + k - 1, W + k - 1), for every tap."""
    height, width = (side - kernel_size + 1 for side in padded[0].shape[-2:])
    for row in range(kernel_size):
        for column in range(kernel_size):
            yield tuple(t[..., row:row + height, column:column + width] for t in padded)


def check_kernel(channels: int, kernel_size: int, groups: int, scale_factor: int) -> None:
    """Raises ValueError for what :func:`carafe` cannot do on any input."""
    check_positive(channels=channels, kernel_size=kernel_size, groups=groups, scale_factor=scale_factor)
    if kernel_size % 2 == 0:
        raise ValueError(f'kernel_size must be odd, got {kernel_size}')
    if channels % groups:
        raise ValueError(f'groups must divide the number of channels, got {groups} groups of {channels} channels')


@reassemble.register_fake
def _(x, masks, kernel_size, groups, scale_factor):
    return x.new_empty(*x.shape[:2], *masks.shape[2:])


@reassemble_backward.register_fake
def _(grad, x, masks, kernel_size, groups, scale_factor):
    return x.new_empty(x.shape), masks.new_empty(masks.shape)


def _save(ctx, inputs, output):
    x, masks, *ctx.arguments = inputs
    ctx.save_for_backward(x, masks)


def _backward(ctx, grad):
    if torch.is_grad_enabled():
        return differentiable_gradients(_sum_of_taps, (*ctx.saved_tensors, *ctx.arguments), (grad, ))
    return *reassemble_backward(grad, *ctx.saved_tensors, *ctx.arguments), None, None, None


reassemble.register_autograd(_backward, setup_context=_save)


@register_flops(reassemble)
def _(x, masks, kernel_size, *_args, out_shape=None, **_kwargs):
    return 2 * x[0] * x[1] * masks[2] * masks[3] * kernel_size**2


@register_flops(reassemble_backward)
def _(grad, x, masks, kernel_size, *_args, out_shape=None, **_kwargs):
    return 4 * x[0] * x[1] * masks[2] * masks[3] * kernel_size**2
