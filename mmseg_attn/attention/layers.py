"""What two or more attention blocks share."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

NormLayer = Callable[[int], nn.Module]


def flatten_pixels(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, N, C) with N = H W in row-major order."""
    return x.flatten(2).transpose(1, 2)


def unflatten_pixels(x: Tensor, like: Tensor) -> Tensor:
    """(B, N, C) -> (B, C, H, W) with the height and width of ``like``."""
    return x.transpose(1, 2).contiguous().unflatten(2, like.shape[-2:])


def point_indices(points: Tensor, height: int, width: int) -> Tensor:
    """Positions (P, 2) as (row, column) -> indices (P,) into the N = H W flattened pixels.

    Raises:
        ValueError: ``points`` is not an integer tensor of shape (P, 2), or a point lies outside the map.
    """
    points = torch.as_tensor(points)
    if points.ndim != 2 or points.shape[1] != 2 or points.is_floating_point():
        raise ValueError(f'points must be integers of shape (P, 2), each (row, column); '
                         f'got {points.dtype} of shape {tuple(points.shape)}')
    row, column = points.unbind(1)
    outside = (row < 0) | (row >= height) | (column < 0) | (column >= width)
    if outside.any():
        raise ValueError(f'point {points[outside][0].tolist()} lies outside the {height} x {width} feature map')
    return row * width + column
