"""Learning curves: the mIoU of each head at every validation, the mean of its seeds with their range."""

import statistics
from pathlib import Path

from mmseg_attn.common.files import atomic_write

from .runs import TrainingRun


def draw(runs: dict[str, list[TrainingRun]], path: Path) -> None:
    """Writes a picture of the curves and of the losses of the training.

    Args:
        runs: head -> its runs, in the order in which they are to be named.
        path: the PNG.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    figure = Figure(figsize=(12, 5), dpi=110, layout='constrained')
    miou, loss = figure.subplots(1, 2)
    colours = colormaps['tab20'].colors
    for number, (head, of_head) in enumerate(runs.items()):
        style = dict(color=colours[number % len(colours)], linestyle='--' if number >= len(colours) else '-')
        steps, low, mean, high = mean_and_range([run.curve for run in of_head])
        miou.plot(steps, mean, marker='o', markersize=3, label=head, **style)
        miou.fill_between(steps, low, high, color=style['color'], alpha=0.12, linewidth=0)
        steps, _, mean, _ = mean_and_range([run.losses for run in of_head])
        loss.plot(steps, mean, linewidth=1, **style)
    for axes, name in ((miou, 'mIoU on the validation data, %'), (loss, 'training loss, the sum of all of a head')):
        axes.set(xlabel='iteration', ylabel=name)
        axes.grid(alpha=0.3)
    loss.set_yscale('log')
    figure.legend(loc='outside right center', fontsize=8)
    with atomic_write(path) as partial:
        figure.savefig(partial)


def mean_and_range(curves: list[list[tuple[int, float]]]) -> tuple[list[int], list[float], list[float], list[float]]:
    """Steps that all curves have, and the least, mean and greatest value at each."""
    tables = [dict(curve) for curve in curves]
    steps = sorted(set.intersection(*(set(table) for table in tables)))
    values = [[table[step] for table in tables] for step in steps]
    return steps, [min(v) for v in values], [statistics.fmean(v) for v in values], [max(v) for v in values]
