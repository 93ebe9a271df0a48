"""Figures for papers: rows are points, columns are models."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from mmseg_attn.common.files import atomic_write

from .activation import ActivationMap
from .grad_cam import ClassMap
from .maps import explain
from .place import Axis, Place
from .view import View

DPI = 300
WIDTH = 3.2  # inches of a panel


def draw_figure(path: str | Path, views: Sequence[View], points: Sequence[tuple[float, float]], *,
                influence: bool = False, colours: str = 'inferno', opacity: float = 0.75) -> None:
    """Writes a PNG of the maps of some pixels over the picture: a row for each point, a column for each view.

    Every map has its own scale, from zero (or, where it has negative values, from minus its largest) to its largest.

    Args:
        path: of the figure.
        views: the same picture through one or more models.
        points: (x, y) in pixels of the picture; a map is that of the very point, not of one nearby.
        influence: draw the exact influence for all heads, also for those with an ``attention_map``.
        colours: a colour map of matplotlib, for maps without negative values.
        opacity: of the maps over the picture.

    Raises:
        ValueError: a point lies outside the picture, or ``colours`` is unknown.
    """
    if colours not in matplotlib.colormaps:
        raise ValueError(f'{colours!r} is not a colour map of matplotlib; inferno, viridis, cividis and gray are some')
    _save(_figure(views, points, influence, colours, opacity), Path(path))


def _figure(views: Sequence[View], points: Sequence[tuple[float, float]], influence: bool, colours: str,
            opacity: float) -> Figure:
    columns = [explain(view, points, influence) for view in views]
    figure, axes = _panels(views, len(points))
    for column, (view, found) in enumerate(zip(views, columns, strict=True)):
        axes[0][column].set_title(f'{view.name} ({found.kind})')
        for row, (x, y) in enumerate(points):
            panel = axes[row][column]
            _draw_map(panel, view, found.values[row], found.places[row], colours, opacity)
            panel.plot(x, y, 'o', markersize=7, markerfacecolor='none', markeredgecolor='black', markeredgewidth=2.6)
            panel.plot(x, y, 'o', markersize=7, markerfacecolor='none', markeredgecolor='white', markeredgewidth=1.4)
            panel.set_xlabel(f'{x:g}, {y:g}: {view.classes[view.label_at(x, y)]}', fontsize='small')
    return figure


def draw_class_maps(path: str | Path, views: Sequence[View], maps: Sequence[ClassMap], *, colours: str = 'inferno',
                    opacity: float = 0.75) -> None:
    """Writes a PNG of Grad-CAM over the picture, a column for each view. See :func:`draw_figure`."""
    figure, axes = _panels(views, 1)
    for panel, view, found in zip(axes[0], views, maps, strict=True):
        name = view.classes[found.label]
        panel.set_title(f'{view.name}: {name}')
        if found.place is None:
            panel.imshow(view.picture)
            panel.set_xlabel(f'no pixel is predicted to be {name}', fontsize='small')
            continue
        _draw_map(panel, view, found.values, found.place, colours, opacity)
        if found.region:
            _draw_box(panel, found.region)
    _save(figure, Path(path))


def draw_activation(path: str | Path, views: Sequence[View], maps: Sequence[ActivationMap], *,
                    colours: str = 'inferno', opacity: float = 0.75) -> None:
    """Writes a PNG of activation maps with their boxes over the picture, a column for each view."""
    figure, axes = _panels(views, 1)
    for panel, view, found in zip(axes[0], views, maps, strict=True):
        panel.set_title(f'{view.name}: activation')
        height, width = found.values.shape
        _draw_map(panel, view, found.values, Place(Axis(0, 1, width), Axis(0, 1, height)), colours, opacity)
        if found.box:
            _draw_box(panel, found.box)
    _save(figure, Path(path))


def _draw_box(panel: Axes, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    panel.add_patch(matplotlib.patches.Rectangle(
        (left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor='white', linestyle='--'))


def _panels(views: Sequence[View], rows: int) -> tuple[Figure, list[list[Axes]]]:
    height, width = views[0].picture.shape[:2]
    # Beside its picture a panel has a title, a label and a scale.
    size = (len(views) * (WIDTH + 0.5), rows * (WIDTH * height / width + 0.55))
    figure = Figure(figsize=size, dpi=DPI, layout='compressed')
    axes = figure.subplots(rows, len(views), squeeze=False)
    for panel in axes.flat:
        panel.set_xticks([])
        panel.set_yticks([])
    return figure, axes


def _draw_map(panel: Axes, view: View, values: Tensor, place: Place, colours: str, opacity: float) -> None:
    height, width = view.picture.shape[:2]
    panel.imshow(view.picture)
    signed = bool((values < 0).any())
    largest = values.abs().max().item() or 1.0
    image = panel.imshow(
        values.float().numpy(), extent=place.extent, cmap='coolwarm' if signed else colours, alpha=opacity,
        vmin=-largest if signed else 0, vmax=largest, interpolation='nearest')
    panel.set_xlim(-0.5, width - 0.5)
    panel.set_ylim(height - 0.5, -0.5)
    bar = panel.figure.colorbar(image, ax=panel, fraction=0.046 * height / width, pad=0.02)
    bar.solids.set_alpha(1)
    bar.ax.tick_params(labelsize='x-small')
    bar.formatter.set_powerlimits((-2, 3))
    bar.formatter.set_useMathText(True)


def _save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as partial:
        figure.savefig(partial, format='png', bbox_inches='tight', pad_inches=0.05)
