"""Which cells of a feature map a page shows the maps of: as many as its size and the time allow."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .maps import MapSource
from .packing import Packed, pack
from .place import Place
from .view import View, Window

# An attention map costs little beside what all of them share, a map of influence a backward pass.
FIRST_POINTS = {'attention': 256, 'influence': 1}


@dataclass(frozen=True)
class Grid:
    """The cells at some rows and columns of a feature map."""

    rows: range
    columns: range

    def __len__(self) -> int:
        return len(self.rows) * len(self.columns)

    def cells(self, num_windows: int) -> list[tuple[int, int, int]]:
        """(window, row, column) of all, row by row."""
        return [(i, row, column) for i in range(num_windows) for row in self.rows for column in self.columns]


@dataclass
class Samples:
    """The maps of a grid of points, the same in every window: of all windows, of all its rows, of all its columns.

    Attributes:
        kind: 'attention' or 'influence'.
        grid: the cells of the feature map that have points.
        places: for each window, where its maps lie.
        maps: the maps.
    """

    kind: str
    grid: Grid
    places: list[Place]
    maps: Packed

    @property
    def num_points(self) -> int:
        return len(self.grid) * len(self.places)


def sample(view: View, source_of: Callable[[View, Window], MapSource], seconds: float, num_bytes: int) -> Samples:
    """Takes points ever closer to each other while the time and the packed maps allow.

    Args:
        view: the picture.
        source_of: makes the source of the maps of a window.
        seconds: that all this may take; the first few maps are taken also where they need longer.
        num_bytes: that the maps may have in a page.

    Raises:
        ValueError: not even the coarsest grid fits ``num_bytes``.
    """
    deadline = time.perf_counter() + seconds
    sources = [source_of(view, window) for window in view.windows]
    kind, place = sources[0].kind, sources[0].place
    grids = grids_of(place.y.cells, place.x.cells)
    known: dict[tuple[int, int, int], Tensor] = {}
    level = max((i for i, grid in enumerate(grids) if len(grid) * len(sources) <= FIRST_POINTS[kind]), default=0)
    best, best_level, too_large, seconds_per_point = None, -1, len(grids), 0.0
    while True:
        grid = grids[level]
        seconds_per_point = _compute(sources, grid, known) or seconds_per_point
        began = time.perf_counter()
        maps = pack(torch.stack([known[cell] for cell in grid.cells(len(sources))]), per_row=len(grid.columns))
        now = time.perf_counter()
        if maps.num_bytes > num_bytes:
            too_large, level = level, level - 1
            if level == best_level:
                break
            continue
        best, best_level = Samples(kind, grid, [source.place for source in sources], maps), level
        growth = {i: len(grids[i]) / len(grid) for i in range(level + 1, too_large)}
        new_points = {i: len(grids[i]) * len(sources) - len(known) for i in growth}
        affordable = [i for i in growth if growth[i] * maps.num_bytes <= num_bytes
                      and new_points[i] * seconds_per_point + growth[i] * (now - began) <= deadline - now]
        if not affordable:
            break
        level = affordable[-1]
    if best is None:
        raise ValueError(f'the maps of {place.y.cells} x {place.x.cells} cells do not fit the page even for the '
                         f'{len(grids[0]) * len(sources)} points of the coarsest grid: explain a smaller picture')
    return best


def _compute(sources: list[MapSource], grid: Grid, known: dict[tuple[int, int, int], Tensor]) -> float | None:
    """Adds the maps that are not known yet; seconds for each, None if there were none."""
    began, before = time.perf_counter(), len(known)
    for i, source in enumerate(sources):
        new = [cell for cell in grid.cells(len(sources)) if cell[0] == i and cell not in known]
        if new:
            x, y = source.place.x.centres(), source.place.y.centres()
            points = torch.stack([torch.stack([x[column], y[row]]) for _, row, column in new])
            known.update(zip(new, source.maps(points), strict=True))
    added = len(known) - before
    return (time.perf_counter() - began) / added if added else None


def grids_of(rows: int, columns: int) -> list[Grid]:
    """From a few cells to all of a map, about twice as many each time; each grid contains those before it."""
    down, right = (1 << (size.bit_length() - 1) for size in (rows, columns))
    grids = []
    while True:
        grids.append(Grid(range(_start(down), rows, down), range(_start(right), columns, right)))
        if down == right == 1:
            return grids
        down, right = (down // 2, right) if down > right else (down, right // 2)


def _start(stride: int) -> int:
    """The first of every ``stride`` cells: near the middle of a stride, and one of every ``stride / 2``."""
    if stride == 1:
        return 0
    finer = _start(stride // 2)
    return min(finer, finer + stride // 2, key=lambda start: abs(start - (stride - 1) / 2))
