"""The mask of point-wise spatial attention: from relative to absolute positions.

Shapes: B images of H x W pixels, N = H W, a mask of M = mask_h mask_w relative positions.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def relative_to_absolute(logits: Tensor, mask_size: Sequence[int]) -> Tensor:
    """What every pixel i says about the position j - i, as what it says about the pixel j; 0 outside the mask.

    Args:
        logits: (B, H, W, M), the mask's positions in row-major order.
        mask_size: (mask_h, mask_w); the relative position 0 is at ``(mask_h - 1) // 2, (mask_w - 1) // 2``.

    Returns:
        (B, N, N): of every pixel i for every pixel j.
    """
    size = logits.shape[1:3]
    logits = logits.unflatten(3, mask_size)
    centre: list[int] = []
    padding: list[int] = []
    for full, mask in zip(size, mask_size, strict=True):
        reach = (mask - 1) // 2
        before = _at_least_zero(full - 1 - reach)
        after = _at_least_zero(full - (mask - reach))
        centre.append(reach + before)
        padding = [before, after, *padding]
    if torch.compiler.is_compiling():
        # Strides are no operation that an exported graph can hold.
        return _gather(F.pad(logits, padding), centre[0], centre[1])
    logits = (F.pad(logits, padding) if any(padding) else logits).contiguous()
    return _Skew.apply(logits, *centre).flatten(3, 4).flatten(1, 2)


def _at_least_zero(side: int) -> int:
    # While tracing it is a SymInt, which PyTorch annotates as an int too. The compiler of torch 2.6 refuses sym_max of
    # integers, and max would tie an export to one of the two.
    return max(side, 0) if isinstance(side, int) else torch.sym_max(side, 0)


def _gather(logits: Tensor, centre_row: int, centre_column: int) -> Tensor:
    height, width, _, num_columns = logits.shape[1:]
    rows, columns = (torch.arange(size, device=logits.device) for size in (height, width))
    rows = rows[None, :] - rows[:, None] + centre_row
    columns = columns[None, :] - columns[:, None] + centre_column
    index = (rows[:, None, :, None] * num_columns + columns[None, :, None, :]).flatten(2, 3).flatten(0, 1)
    return logits.flatten(3, 4).flatten(1, 2).gather(2, index.expand(logits.shape[0], -1, -1))


class _Skew(torch.autograd.Function):
    """A view with the strides of (i, j) instead of (i, j - i), both ways without an index tensor.

    PyTorch's own gradient of ``as_strided`` would build one, since it cannot know that the view meets no element twice.
    """

    @staticmethod
    def forward(ctx, logits: Tensor, centre_row: int, centre_column: int) -> Tensor:
        ctx.shape = logits.shape
        ctx.centre = centre_row, centre_column
        return _skewed(logits, *ctx.centre).clone()

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        out = grad.new_zeros(ctx.shape)
        _skewed(out, *ctx.centre).copy_(grad)
        return out, None, None


def _skewed(logits: Tensor, centre_row: int, centre_column: int) -> Tensor:
    """(B, H, W, offsets of rows, offsets of columns), contiguous -> view (B, H, W, H, W)."""
    batch, height, width, _, row = logits.shape
    image, line, pixel = logits.stride()[:3]
    return logits.as_strided((batch, height, width, height, width), (image, line - row, pixel - 1, row, 1),
                             logits.storage_offset() + centre_row * row + centre_column)
