"""The report on a data set: tables, pictures and CSV files."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mmseg_attn.analysis.report import write_csv
from mmseg_attn.common.document import Block, Heading, Paragraph, Picture, Table, to_html
from mmseg_attn.common.files import atomic_write, write_text

from .images import ImageContext, Settings
from .shares import DISTANCES
from .summary import Summary, summarize

PAGE = 'report.html'
MOST_NUMBERS = 25
# Times the share of the area, on both sides of 1.
FOLD = 4


def write(folder: Path, images: list[ImageContext], classes: list[str], settings: Settings, title: str) -> Summary:
    summary = summarize(images, len(classes))
    kind = next((image.kind for image in images if image.kind), 'attention')
    blocks = [*_where(folder, summary, classes, kind, settings), *_how_far(folder, summary, classes, kind)]
    if settings.masked:
        blocks += _without(folder, summary, classes, settings)
    write_text(folder / PAGE, to_html(title, [Paragraph(f'{len(images)} images.'), *blocks]))
    return summary


def _where(folder: Path, summary: Summary, classes: list[str], kind: str, settings: Settings) -> list[Block]:
    header = ['of points of', 'images', *classes]
    for name, values in ('attention', summary.shares), ('attention_spread', summary.spread), ('area', summary.area):
        write_csv(folder / f'{name}.csv', [header, *(
            [own, int(number), *_cells(row, 6)]
            for own, number, row in zip(classes, summary.images, values, strict=True))])
    rows = []
    for i, own in enumerate(classes):
        cells = [f'{100 * share:.1f} ± {100 * spread:.1f} ({100 * area:.1f})' if not np.isnan(spread) else
                 ('-' if np.isnan(share) else f'{100 * share:.1f} ({100 * area:.1f})')
                 for share, spread, area in zip(summary.shares[i], summary.spread[i], summary.area[i], strict=True)]
        rows.append([own, str(summary.images[i]), *cells])
    path = folder / 'attention.png'
    _draw_matrix(path, summary.shares / np.where(summary.area > 0, summary.area, np.nan), summary.shares, classes,
                 f'{kind} on', f'{kind} of points of', 'times the share of the area', log=True)
    return [Heading(f'Where the {kind} goes'), Picture(path, f'{kind} of each class on each class'),
            Paragraph(f'Of the weight of the points of a class (row), which share lies on each class, in %; colours '
                      f'show it relative to the area that the class has in these images: red is more than {kind} '
                      'that looks at nothing in particular would have.'),
            Table(header, rows),
            Paragraph(f'Mean and standard deviation over the images, and in brackets the share of the area, in %. At '
                      f'most {settings.points} points of a class in each image, by its labels.')]


def _how_far(folder: Path, summary: Summary, classes: list[str], kind: str) -> list[Block]:
    names = [f'{low} to {high - 1}' for low, high in zip([0, *DISTANCES], DISTANCES, strict=False)]
    names.append(f'{DISTANCES[-1]} and more')
    rows = [[name, *(cell if cell == '-' else f'{100 * float(cell):.1f}' for cell in _cells(row, 6))]
            for name, row in zip(classes, summary.distances, strict=True)]
    present = ~np.isnan(summary.distances[:, 0])
    expected = ['all cells alike', *(['-'] * len(names) if not present.any() else [
        f'{100 * value:.1f}' for value in summary.cells[present].mean(axis=0)])]
    write_csv(folder / 'distances.csv', [['class', *names], *(
        [name, *_cells(row, 6)] for name, row in zip(classes, summary.distances, strict=True))])
    return [Heading(f'How far the {kind} reaches'), Table(['pixels away', *names], [*rows, expected]),
            Paragraph('Share of the weight by the distance of a cell\'s centre from the point, in %. The last row is '
                      'that of weights that are the same everywhere.')]


def _without(folder: Path, summary: Summary, classes: list[str], settings: Settings) -> list[Block]:
    masked = [classes[index] for index in settings.masked]
    drops = summary.drops[:, list(settings.masked)]
    write_csv(folder / 'without.csv', [['class', *masked], *(
        [name, *_cells(row, 6)] for name, row in zip(classes, drops, strict=True))])
    rows = [[name, *('-' if np.isnan(drop) else f'{100 * drop:.1f}' for drop in row)]
            for name, row in zip(classes, drops, strict=True)]
    return [Heading('What predictions rely on'), Table(['IoU falls by', *(f'without {name}' for name in masked)], rows),
            Paragraph(f'Points of IoU that a class (row) loses where the pixels of another (column) are replaced '
                      f'({settings.fill}), counted over the pixels that are not of the other. A negative number is a '
                      'gain. Replaced regions are unusual images themselves: compare with the other columns.')]


def _draw_matrix(path: Path, values: np.ndarray, numbers: np.ndarray, classes: list[str], across: str, down: str,
                 meaning: str, log: bool) -> None:
    from matplotlib.colors import LogNorm
    side = max(0.45 * len(classes) + 2.5, 5)
    figure = Figure(figsize=(side + 1, side), dpi=110, layout='constrained')
    axes = figure.subplots()
    shown = axes.imshow(np.clip(values, 1 / FOLD, FOLD), cmap='RdBu_r', norm=LogNorm(1 / FOLD, FOLD) if log else None)
    axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize=8)
    axes.set_yticks(range(len(classes)), classes, fontsize=8)
    axes.set(xlabel=across, ylabel=down)
    if len(classes) <= MOST_NUMBERS:
        for i, row in enumerate(numbers):
            for j, share in enumerate(row):
                if share >= 0.005:
                    axes.text(j, i, f'{100 * share:.0f}', ha='center', va='center', fontsize=7)
    bar = figure.colorbar(shown, ax=axes, label=meaning, shrink=0.7)
    ticks = [1 / FOLD, 1 / 2, 1, 2, FOLD]
    bar.set_ticks(ticks, labels=['≤ 1/4', '1/2', '1', '2', '≥ 4'])
    bar.ax.minorticks_off()
    with atomic_write(path) as partial:
        figure.savefig(partial)


def _cells(values: np.ndarray, digits: int) -> list[str]:
    return ['-' if np.isnan(value) else f'{value:.{digits}f}' for value in values]
