"""Content-aware reassembly of features: upsampling with a kernel of its own for every output pixel.

Shapes: B batch, C channels, G groups of channels, k width of the kernels, s scale factor, H and W of the input.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_positive


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
    check_kernel(x.shape[1], kernel_size, groups, scale_factor)
    batch, _, height, width = x.shape
    expected = batch, groups * kernel_size**2, scale_factor * height, scale_factor * width
    if tuple(masks.shape) != expected:
        raise ValueError(f'masks must have the shape {expected} for x of shape {tuple(x.shape)}, kernel_size='
                         f'{kernel_size}, groups={groups}, scale_factor={scale_factor}; got {tuple(masks.shape)}')
    dtype = torch.promote_types(torch.promote_types(x.dtype, masks.dtype), torch.float32)
    # The s x s output pixels of one input pixel as channels: then every tap is a product of long dense rows.
    weights = F.pixel_unshuffle(masks, scale_factor).contiguous().to(dtype)
    weights = weights.unflatten(1, (groups, kernel_size**2, scale_factor**2)).unsqueeze(2).unbind(3)
    padded = F.pad(x.contiguous().to(dtype), (kernel_size // 2,) * 4).unflatten(1, (groups, -1)).unsqueeze(3)
    # Each product keeps only views of `weights` and `padded` for the backward.
    out = None
    for tap, weight in enumerate(weights):
        row, column = divmod(tap, kernel_size)
        shifted = padded[..., row:row + height, column:column + width]
        out = shifted * weight if out is None else out.addcmul_(shifted, weight)
    return F.pixel_shuffle(out.to(x.dtype).flatten(1, 3), scale_factor)


def check_kernel(channels: int, kernel_size: int, groups: int, scale_factor: int) -> None:
    """Raises ValueError for what :func:`carafe` cannot do on any input."""
    check_positive(channels=channels, kernel_size=kernel_size, groups=groups, scale_factor=scale_factor)
    if kernel_size % 2 == 0:
        raise ValueError(f'kernel_size must be odd, got {kernel_size}')
    if channels % groups:
        raise ValueError(f'groups must divide the number of channels, got {groups} groups of {channels} channels')
