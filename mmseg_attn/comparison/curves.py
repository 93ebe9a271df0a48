"""Learning curves: the mIoU of each head at every validation, the mean of its seeds with their range."""

import statistics
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmseg_attn.common.files import atomic_write

from .names import display_name
from .runs import TrainingRun

# Okabe and Ito's, which colour-blind readers tell apart, less the yellow, which is faint on white.
COLOURS = '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000'
LINES = '-', '--', ':', '-.'
MARKERS = 'o', 's', '^', 'D', 'v', 'P', 'X', '<', '>', '*', 'p'
FONT_SIZE = 8


def draw(runs: dict[str, list[TrainingRun]], path: Path) -> None:
    """Writes a picture of the curves and of the losses of the training.

    Args:
        runs: head -> its runs, in the order in which they are to be named.
        path: the PNG.
    """
    figure = Figure(figsize=(13, max(5, 0.19 * len(runs) + 1.5)), dpi=110, layout='constrained')
    miou, loss = figure.subplots(1, 2)
    ends = {}
    for number, (head, of_head) in enumerate(runs.items()):
        style = dict(color=COLOURS[number % len(COLOURS)], linestyle=LINES[number // len(COLOURS) % len(LINES)])
        steps, low, mean, high = mean_and_range([run.curve for run in of_head])
        miou.plot(steps, mean, marker=MARKERS[number % len(MARKERS)], markersize=4, linewidth=1.3, **style)
        miou.fill_between(steps, low, high, color=style['color'], alpha=0.12, linewidth=0)
        ends[head] = steps[-1], mean[-1], style['color']
        steps, _, mean, _ = mean_and_range([run.losses for run in of_head])
        if steps:
            loss.plot(steps, [value / mean[0] for value in mean], linewidth=1.3, **style)
    miou.set(xlabel='iteration', ylabel='mIoU on the validation data, %')
    _label_ends(miou, ends)
    # Heads with several losses have larger sums.
    loss.set(xlabel='iteration', ylabel='training loss, as a share of the first that was logged')
    if loss.lines:
        loss.set_yscale('log')
    else:
        loss.text(0.5, 0.5, 'no loss was logged: the training is shorter than\nthe interval of its log '
                  '(default_hooks.logger.interval)', ha='center', transform=loss.transAxes)
    for axes in miou, loss:
        axes.grid(alpha=0.3)
    with atomic_write(path) as partial:
        figure.savefig(partial)


def _label_ends(axes: Axes, ends: dict[str, tuple[int, float, str]]) -> None:
    """Names beside the ends of the curves, moved apart where they would cover each other."""
    figure = axes.figure
    low, high = axes.get_ylim()
    line = (high - low) * 1.35 * FONT_SIZE / 72 / (figure.get_figheight() * 0.85)
    places = spread([value for _, value, _ in ends.values()], line)
    last = max(step for step, _, _ in ends.values())
    left, right = axes.get_xlim()
    for (head, (step, value, colour)), place in zip(ends.items(), places, strict=True):
        axes.annotate(display_name(head), (step, value), (last + 0.06 * (right - left), place), color=colour,
                      fontsize=FONT_SIZE, va='center', annotation_clip=False,
                      arrowprops=dict(arrowstyle='-', color=colour, linewidth=0.5, alpha=0.6))


def spread(values: list[float], distance: float) -> list[float]:
    """Places at least ``distance`` apart, in the order of the values and near them: each group of names that meet
    stands around the mean of its values."""
    order = sorted(range(len(values)), key=values.__getitem__)
    groups: list[list[int]] = []
    for index in order:
        groups.append([index])
        while len(groups) > 1 and _begin(groups[-1], values, distance) - _end(groups[-2], values, distance) < distance:
            groups[-2:] = [groups[-2] + groups[-1]]
    places = list(values)
    for group in groups:
        for number, index in enumerate(group):
            places[index] = _begin(group, values, distance) + number * distance
    return places


def _begin(group: list[int], values: list[float], distance: float) -> float:
    return statistics.fmean(values[index] for index in group) - (len(group) - 1) * distance / 2


def _end(group: list[int], values: list[float], distance: float) -> float:
    return _begin(group, values, distance) + (len(group) - 1) * distance


def mean_and_range(curves: list[list[tuple[int, float]]]) -> tuple[list[int], list[float], list[float], list[float]]:
    """Steps that all curves have, and the least, mean and greatest value at each."""
    tables = [dict(curve) for curve in curves]
    steps = sorted(set.intersection(*(set(table) for table in tables)))
    values = [[table[step] for table in tables] for step in steps]
    return steps, [min(v) for v in values], [statistics.fmean(v) for v in values], [max(v) for v in values]
