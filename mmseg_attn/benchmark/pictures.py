"""The two pictures of a benchmark: cost against the number of pixels, and accuracy against cost."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from mmseg_attn.common.files import atomic_write

from .measuring import OURS, Row
from .report import curves, exponent
from .settings import method_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

COST, ACCURACY = 'cost_against_n.png', 'accuracy_against_cost.png'
INSTALL = 'pip install matplotlib (or the extra "benchmark" of mmseg-attn)'
QUANTITIES = dict(median_ms='time (ms)', memory_mib='peak extra memory (MiB)', gflops='GFLOPs of one image',
                  parameters='parameters (M)')
# Twelve colours that stay apart for colour-blind readers when the shapes of the markers help.
COLOURS = ('#332288', '#e6194b', '#117733', '#dd8800', '#44aa99', '#cc6677', '#882255', '#4477aa', '#999933', '#aa4499',
           '#66ccee', '#555555')
MARKERS = 'osD^vP<X>*hp'
STYLE = {
    'font.size': 9, 'axes.titlesize': 10, 'axes.spines.top': False, 'axes.spines.right': False, 'axes.grid': True,
    'grid.color': '#e0e0e0', 'grid.linewidth': 0.6, 'axes.axisbelow': True, 'legend.frameon': False,
    'lines.linewidth': 1.3, 'lines.markersize': 5, 'figure.constrained_layout.use': True}


def is_available() -> bool:
    return find_spec('matplotlib') is not None


def draw_cost(rows: list[Row], path: Path, title: str) -> None:
    """Time and memory over the pixels of the features, log-log, a row of panels for each mode."""
    _draw(path, lambda: _cost_figure(rows, title))


def draw_accuracy(rows: list[Row], accuracies: dict[str, float], path: Path, title: str) -> None:
    """Accuracy over time, memory and operations, at the largest size that all methods were measured at."""
    _draw(path, lambda: _accuracy_figure(rows, accuracies, title))


def _draw(path: Path, figure: Callable[[], Figure]) -> None:
    import matplotlib
    with matplotlib.rc_context(STYLE), atomic_write(path) as partial:
        figure().savefig(partial, dpi=200, format='png')


def _cost_figure(rows: list[Row], title: str) -> Figure:
    from matplotlib.figure import Figure
    found = curves(rows)
    looks = _looks(rows)
    modes = sorted({mode for _, _, mode in found})
    figure = Figure(figsize=(10.5, 0.5 + 3.8 * len(modes)))
    panels = figure.subplots(len(modes), 2, squeeze=False)
    for mode, (time, memory) in zip(modes, panels, strict=True):
        group = {key: values for key, values in found.items() if key[2] == mode}
        for axes, quantity in ((time, 'median_ms'), (memory, 'memory_mib')):
            _plot_curves(axes, group, quantity, looks)
            axes.set_title(mode, loc='left')
        memory.legend(loc='center left', bbox_to_anchor=(1.01, 0.5), handlelength=2.6, **_legend_title(group))
    figure.suptitle(title, fontsize=10, x=0.01, ha='left')
    return figure


def _plot_curves(axes: Axes, group: dict[tuple, list[Row]], quantity: str, looks: dict[str, dict]) -> None:
    drawn = False
    for (method, code, _), rows in group.items():
        points = [(row.pixels, getattr(row, quantity)) for row in rows if getattr(row, quantity) is not None]
        drawn = drawn or bool(points)
        pixels = [row.pixels for row in rows]
        axes.plot(*zip(*points, strict=True) if points else ([], []), label=_label(method, code, rows), **looks[method],
                  **({} if code == OURS else dict(linestyle='--', markerfacecolor='white')))
        if quantity == 'median_ms':
            axes.vlines(pixels, [row.q1_ms for row in rows], [row.q3_ms for row in rows], linewidth=0.8,
                        color=looks[method]['color'])
    axes.set(xscale='log', xlabel='N, pixels of the features', ylabel=QUANTITIES[quantity])
    axes.set_xticks(*_size_ticks({row.pixels for rows in group.values() for row in rows}))
    axes.xaxis.minorticks_off()
    if drawn:  # matplotlib cannot draw an empty axis in logarithms
        axes.set_yscale('log')
        _plain_ticks(axes.yaxis)


def _size_ticks(sizes: set[int]) -> tuple[list[int], list[str]]:
    """A tick for every size, with a label where there is room for one."""
    ticks = sorted(sizes)
    room = 0.1 * math.log(ticks[-1] / ticks[0])
    labels, last = [], None
    for tick in ticks:
        fits = last is None or math.log(tick / last) >= room
        labels.append(str(tick) if fits else '')
        last = tick if fits else last
    return ticks, labels


def _label(method: str, code: str, rows: list[Row]) -> str:
    name = method_names().get(method, method) + ('' if code == OURS else f' ({code})')
    powers = [exponent(rows, quantity) for quantity in ('median_ms', 'memory_mib')]
    return name if None in powers else f'{name}  {powers[0]:.2f}, {powers[1]:.2f}'


def _legend_title(group: dict[tuple, list[Row]]) -> dict[str, object]:
    fitted = any(exponent(rows, 'median_ms') is not None for rows in group.values())
    return dict(title='exponents of N: time, memory', alignment='left') if fitted else {}


def _looks(rows: list[Row]) -> dict[str, dict]:
    """A colour and a marker for every method, the same in every picture."""
    names = method_names()
    known = [*names, *sorted({row.method for row in rows} - names.keys())]
    # The second round of the colours has other markers than the first.
    return {method: dict(color=COLOURS[i % len(COLOURS)], marker=MARKERS[(i + i // len(COLOURS)) % len(MARKERS)])
            for i, method in enumerate(known)}


def _accuracy_figure(rows: list[Row], accuracies: dict[str, float], title: str) -> Figure:
    from matplotlib.figure import Figure
    rows = [row for row in rows if row.method in accuracies and row.code == OURS and row.median_ms is not None]
    looks = _looks(rows)
    modes = sorted({row.mode for row in rows})
    figure = Figure(figsize=(11, 0.5 + 3.8 * len(modes)))
    named = {}
    panels = figure.subplots(len(modes), 3, squeeze=False, sharey=True)
    for mode, line in zip(modes, panels, strict=True):
        height, width = _common_size(row for row in rows if row.mode == mode)
        points = [row for row in rows if (row.mode, row.height, row.width) == (mode, height, width)]
        line[0].set(ylabel='mIoU (%)')
        line[0].set_title(f'{mode}, {height} x {width} pixels', loc='left')
        # The operations are those of the forward, so that a second line would repeat them.
        quantities = ('median_ms', 'memory_mib', 'gflops' if mode == modes[0] else 'parameters')
        for axes, quantity in zip(line, quantities, strict=True):
            named[axes] = {row.method: (_cost(row, quantity), accuracies[row.method])
                           for row in points if getattr(row, quantity)}
            for method, point in named[axes].items():
                axes.scatter(*point, s=36, zorder=3, **looks[method])
            axes.set(xscale='log', xlabel=QUANTITIES[quantity])
            axes.margins(0.15, 0.1)
            _plain_ticks(axes.xaxis)
    figure.suptitle(title, fontsize=10, x=0.01, ha='left')
    # The names need the places that everything else will have.
    figure.draw_without_rendering()
    figure.set_layout_engine('none')
    for axes, points in named.items():
        _name_points(axes, points, looks)
    return figure


def _common_size(rows: Iterable[Row]) -> tuple[int, int]:
    """The largest size among those at which most methods were measured."""
    methods = Counter((row.height, row.width) for row in rows)
    return max(methods, key=lambda size: (methods[size], size[0] * size[1]))


def _cost(row: Row, quantity: str) -> float:
    return row.parameters / 1e6 if quantity == 'parameters' else getattr(row, quantity)


def _name_points(axes: Axes, points: dict[str, tuple[float, float]], looks: dict[str, dict]) -> None:
    """Writes the names beside the points, each in the nearest place where it covers neither a point nor a name."""
    from matplotlib.transforms import Bbox
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in axes.transData.transform(list(points.values()))]
    names = method_names()
    directions = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
    for method, point in sorted(points.items(), key=lambda item: item[1]):
        for distance, (right, up) in product(range(1, 9), directions):
            place = dict(text=names.get(method, method), xy=point, xytext=(7 * right * distance, 8 * up * distance),
                         textcoords='offset points', ha={1: 'left', 0: 'center', -1: 'right'}[right], va='center',
                         fontsize=8, color=looks[method]['color'])
            text = axes.annotate(**place)
            box = text.get_window_extent().padded(2)
            within = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 and axes.bbox.y0 <= box.y0
            if within and not any(box.overlaps(other) for other in taken):
                break
            text.remove()
        else:
            continue
        taken.append(box)
        if distance > 1:
            text.remove()
            line = dict(arrowstyle='-', linewidth=0.5, color='#888888', shrinkA=0, shrinkB=3)
            axes.annotate(**place, arrowprops=line)


def _plain_ticks(axis: Axis) -> None:
    """1, 2, 5, 10, ... where powers of ten would be few. For what is plotted already."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 1000 else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axis.set_minor_locator(NullLocator())
