"""For pixels of a picture: the maps of where they look."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from .influence import WindowInfluence
from .place import Place
from .view import View, Window, checked

# Maps are computed in parts of so many values, 64 MiB in float32.
MAX_MAP_VALUES = 1 << 24


@dataclass
class PointMaps:
    """Where P points of a picture look.

    Attributes:
        kind: 'attention', the head's ``attention_map``, or 'influence', which
            :class:`.influence.WindowInfluence` defines.
        points: (P, 2), (x, y) in pixels of the picture.
        values: (P, rows, columns), on the CPU.
        places: for each point, where its map lies in the picture.
    """

    kind: str
    points: Tensor
    values: Tensor
    places: list[Place]


class MapSource(Protocol):
    """What computes the maps of one window."""

    kind: str
    place: Place

    def maps(self, points: Tensor) -> Tensor:
        """(P, 2) points of the picture, (x, y) -> (P, rows, columns)."""


class WindowAttention:
    """The head's ``attention_map`` in one window. A point has the map of the cell that it lies in."""

    kind = 'attention'

    def __init__(self, view: View, window: Window):
        self.head, self.features = view.head, window.features
        # What comes before the attention of our heads is the same for all points, and costs more than they do.
        self.in_conv = _Once(self.head.in_conv) if hasattr(self.head, 'in_conv') else None
        rows, columns = self._maps(torch.zeros(1, 2, dtype=torch.long)).shape[1:]
        self.place = window.place(rows, columns)

    def maps(self, points: Tensor) -> Tensor:
        at_once = max(MAX_MAP_VALUES // (self.place.y.cells * self.place.x.cells), 1)
        return checked(torch.cat([self._maps(cells) for cells in self.place.nearest(points).split(at_once)]))

    @torch.no_grad()
    def _maps(self, cells: Tensor) -> Tensor:
        if self.in_conv is None:
            return self.head.attention_map(self.features, cells)[0].cpu()
        try:
            self.head.in_conv = self.in_conv
            return self.head.attention_map(self.features, cells)[0].cpu()
        finally:
            self.head.in_conv = self.in_conv.module


class BlockAttention:
    """The ``attention_map`` of a block anywhere in the model, in one window."""

    kind = 'attention'

    def __init__(self, view: View, window: Window):
        assert window.block_input is not None
        self.block, self.input = view.attention, window.block_input
        self.place = window.place(*self.input.shape[2:])

    @torch.no_grad()
    def maps(self, points: Tensor) -> Tensor:
        at_once = max(MAX_MAP_VALUES // (self.place.y.cells * self.place.x.cells), 1)
        return checked(torch.cat([self.block.attention_map(self.input, cells)[0].cpu()
                                  for cells in self.place.nearest(points).split(at_once)]))


class _Once(nn.Module):
    """A module that computes its first output, and then repeats it."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module, self.output = module, None

    def forward(self, x: Tensor) -> Tensor:
        if self.output is None:
            self.output = self.module(x)
        return self.output


def source_of(view: View, window: Window, influence: bool = False) -> MapSource:
    """The attention of the view's block or head in a window; or the influence, where the head has no map or
    ``influence`` asks for it."""
    if view.block and not influence:
        return BlockAttention(view, window)
    if not influence and callable(getattr(view.head, 'attention_map', None)):
        try:
            return WindowAttention(view, window)
        except NotImplementedError:
            pass
    return WindowInfluence(view, window)


def attention_maps(view: View, points: Sequence[tuple[float, float]]) -> PointMaps:
    """The ``attention_map`` of the view's block, or of the head, for points of a picture.

    Args:
        view: from :func:`look`.
        points: (x, y) in pixels of the picture.

    Raises:
        NotImplementedError: the head has none; :func:`influence_maps` is for any head.
        ValueError: a point lies outside the picture.
    """
    if view.block:
        return _collect(view, points, BlockAttention)
    if not callable(getattr(view.head, 'attention_map', None)):
        raise NotImplementedError(f'{type(view.head).__name__} has no attention_map; influence_maps is for any head')
    return _collect(view, points, WindowAttention)


def influence_maps(view: View, points: Sequence[tuple[float, float]]) -> PointMaps:
    """How strongly the score of each point's predicted class depends on the features at every place. For any head.

    Arguments and errors are those of :func:`attention_maps`; :class:`.influence.WindowInfluence` defines the values.
    """
    return _collect(view, points, WindowInfluence)


def explain(view: View, points: Sequence[tuple[float, float]], influence: bool = False) -> PointMaps:
    """:func:`attention_maps` where the head has them, otherwise or on demand :func:`influence_maps`."""
    return _collect(view, points, lambda view, window: source_of(view, window, influence))


def _collect(view: View, points: Sequence[tuple[float, float]],
             source: Callable[[View, Window], MapSource]) -> PointMaps:
    check_points(points, view.picture.shape[:2])
    places, values = [None] * len(points), [None] * len(points)
    windows = [view.window_of(x, y) for x, y in points]
    points = torch.as_tensor(points, dtype=torch.float64)
    for window in view.windows:
        inside = [i for i, of_point in enumerate(windows) if of_point is window]
        if inside:
            found = source(view, window)
            for i, value in zip(inside, found.maps(points[inside]), strict=True):
                places[i], values[i] = found.place, value
    return PointMaps(found.kind, points, torch.stack(values), places)


def check_points(points: Sequence[tuple[float, float]], size: tuple[int, int]) -> None:
    """Raises ValueError unless there are points, and all lie in a picture of this height and width."""
    height, width = size
    if not len(points):
        raise ValueError('there are no points to explain: give at least one (x, y)')
    for x, y in points:
        if not (0 <= x < width and 0 <= y < height):
            raise ValueError(f'the point x={x}, y={y} lies outside the picture of {width} x {height} pixels')
