"""PyTorch's operators that have no form in ONNX, or none for free sizes, by others that have."""

import torch
from torch import Tensor


def adaptive_avg_pool2d(x: Tensor, output_size: list[int]) -> Tensor:
    """(B, C, H, W) -> (B, C, *output_size) by two matrix products."""
    if list(output_size) == [1, 1]:
        return x.mean(dim=(2, 3), keepdim=True)
    rows, columns = (_pooling_weights(size, cells, x) for size, cells in zip(x.shape[2:], output_size, strict=True))
    return rows @ x @ columns.mT


def _pooling_weights(size: int, cells: int, like: Tensor) -> Tensor:
    """(cells, size): each pixel's share in the mean of each cell."""
    cell, pixel = (torch.arange(count, device=like.device) for count in (cells, size))
    first = torch.div(cell * size, cells, rounding_mode='floor')[:, None]
    end = torch.div((cell + 1) * size + cells - 1, cells, rounding_mode='floor')[:, None]
    inside = (pixel >= first) & (pixel < end)
    return inside.to(like.dtype) / (end - first).to(like.dtype)


def searchsorted(boundaries: Tensor, x: Tensor, *, out_int32: bool = False, right: bool = False,
                 side: str | None = None, sorter: Tensor | None = None) -> Tensor:
    """Ascending (..., M), values (..., N) -> how many come before each value, (..., N), by N x M comparisons."""
    assert sorter is None
    boundaries, x = boundaries[..., None, :], x[..., None]
    before = boundaries <= x if right or side == 'right' else boundaries < x
    return before.sum(dim=-1, dtype=torch.int32 if out_int32 else torch.int64)


DECOMPOSITIONS = {
    torch.ops.aten.adaptive_avg_pool2d.default: adaptive_avg_pool2d,
    torch.ops.aten.searchsorted.Tensor: searchsorted,
}
