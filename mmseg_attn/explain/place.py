"""Where the cells of a map lie in the picture. Positions are in pixels; the centre of the first pixel is at 0."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Axis:
    """Cells along one side of the picture: the centre of cell ``i`` is at ``first + i * step``."""

    first: float
    step: float
    cells: int

    def centres(self) -> Tensor:
        return self.first + self.step * torch.arange(self.cells, dtype=torch.float64)

    def nearest(self, positions: Tensor) -> Tensor:
        """The cells whose centres are nearest to positions."""
        cells = ((positions.double() - self.first) / self.step).round().long()
        return cells.clamp(0, self.cells - 1)

    @property
    def edges(self) -> tuple[float, float]:
        """Where the first cell begins and the last one ends; the picture's own edges are -0.5 and its size - 0.5."""
        return self.first - self.step / 2, self.first + (self.cells - 0.5) * self.step


@dataclass(frozen=True)
class Place:
    """The axes of a map's columns and rows."""

    x: Axis
    y: Axis

    def nearest(self, points: Tensor) -> Tensor:
        """Points (P, 2), each (x, y) in the picture -> the cells they lie in, (P, 2), each (row, column)."""
        return torch.stack([self.y.nearest(points[:, 1]), self.x.nearest(points[:, 0])], dim=1)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Left, right, bottom and top edge, as matplotlib's ``imshow`` takes them."""
        return *self.x.edges, *self.y.edges[::-1]


@dataclass(frozen=True)
class Span:
    """Where the pixels of a network's input lie along one side of the picture.

    As mmseg lays predictions back onto the picture: logits are interpolated to the input, its padding is cut
    off, and the rest is interpolated to the picture.

    Args:
        pixels: of the input, or of a crop of it.
        start: of the crop, counted from the first pixel that is not padding.
        resized: pixels of the input without its padding.
        picture: pixels of the picture.
        align_corners: how the model interpolates.
    """

    pixels: int
    start: int
    resized: int
    picture: int
    align_corners: bool

    def axis(self, cells: int) -> Axis:
        """Of a map of the input with so many cells."""
        first, second = (self._to_picture(self.start + _resize(i, cells, self.pixels, self.align_corners))
                         for i in (0, 1))
        return Axis(first, second - first, cells)

    def nearest(self, position: float) -> int:
        """The pixel of the input that is nearest to a position in the picture."""
        return int(self.axis(self.pixels).nearest(torch.tensor(position)))

    @property
    def middle(self) -> float:
        return self._to_picture(self.start + (self.pixels - 1) / 2)

    def _to_picture(self, position: float) -> float:
        return _resize(position, self.resized, self.picture, self.align_corners)


def _resize(position: float, size: int, new_size: int, align_corners: bool) -> float:
    """Where a position goes when ``size`` pixels are interpolated to ``new_size``."""
    if align_corners and size > 1 and new_size > 1:
        return position * (new_size - 1) / (size - 1)
    return (position + 0.5) * new_size / size - 0.5
