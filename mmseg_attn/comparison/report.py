"""What a comparison says: the tables and sentences of the report."""

import statistics
from dataclasses import dataclass

from mmseg_attn.common.document import Block, Heading, Paragraph, Picture, Table

from .costs import Cost
from .noise import LEVEL, seed_noise, significant_differences
from .runs import TrainingRun


@dataclass(frozen=True)
class Findings:
    """All that a comparison found, by head; a head without a finished run is in ``failures`` only."""

    runs: dict[str, list[TrainingRun]]
    costs: dict[str, Cost]
    failures: dict[str, str]
    image_size: tuple[int, int]

    def by_accuracy(self) -> list[str]:
        return sorted(self.runs, key=lambda head: -mean_miou(self.runs[head]))


def mean_miou(runs: list[TrainingRun]) -> float:
    return statistics.fmean(run.miou for run in runs)


def build(findings: Findings, circumstances: list[str], pictures: list[Picture]) -> list[Block]:
    """The report without its title.

    Args:
        findings: of at least one head.
        circumstances: paragraphs on what was done where: the command, the recipe, the machine.
        pictures: the learning curves and, if there are any, the samples.
    """
    order = findings.by_accuracy()
    blocks = [*_result_blocks(findings, order), *_significance_blocks(findings, order), *_class_blocks(findings, order)]
    for picture in pictures:
        blocks += [Heading(picture.alt), picture]
    return [*blocks, Heading('How it was made'), *(Paragraph(text) for text in circumstances)]


def _result_blocks(findings: Findings, order: list[str]) -> list[Block]:
    rows = []
    for head in order:
        runs, cost = findings.runs[head], findings.costs[head]
        low, median, high = cost.quartiles_ms
        seconds = [run.seconds_per_iter for run in runs if run.seconds_per_iter is not None]
        rows.append([
            head, f'{mean_miou(runs):.2f}', _spread([run.miou for run in runs]),
            ' '.join(f'{run.miou:.2f}' for run in runs), str(runs[0].iters), f'{cost.parameters / 1e6:.2f}',
            f'{cost.head_parameters / 1e6:.2f}', f'{cost.gflops:.2f}', f'{median:.0f} ({low:.0f}-{high:.0f})',
            f'{cost.memory_mib:.0f}', f'{statistics.fmean(seconds):.2f}' if seconds else '-', _training_memory(runs)])
    header = ['head', 'mIoU', 'spread', 'of each seed', 'iterations', 'parameters, M', 'of the head, M', 'GFLOPs',
              'forward, ms', 'memory, MiB', 'training, s per iteration', 'training, MiB']
    keep = [i for i in range(len(header)) if any(row[i] != '-' for row in rows)]
    table = Table([header[i] for i in keep], [[row[i] for i in keep] for row in rows])
    height, width = findings.image_size
    blocks = [table, Paragraph(
        'mIoU in % on the validation data after the last iteration: the mean over the seeds, and their standard '
        f'deviation. The costs are those of the whole network on one image of {height} x {width}: GFLOPs (a '
        'multiply-add counts as one), median and quartiles of the forward, all networks in turn, and the peak of what '
        'it allocates.')]
    for head, reason in findings.failures.items():
        blocks.append(Paragraph(f'{head} is missing or has fewer seeds: {reason}'))
    return blocks


def _significance_blocks(findings: Findings, order: list[str]) -> list[Block]:
    scores = {head: [run.miou for run in findings.runs[head]] for head in order}
    blocks = [Heading('Which differences exceed the seed noise')]
    if len(scores) < 2:
        return [*blocks, Paragraph('There is one head only.')]
    noise = seed_noise(scores)
    if noise is None:
        return [*blocks, Paragraph('Every head was trained with one seed, so the noise is not known, and no difference '
                                   'between two heads can be told from chance: --seeds 0 1 2 trains with three.')]
    beyond = set(significant_differences(noise, scores))
    counts = sorted({len(values) for values in scores.values()})
    threshold = noise.threshold(counts[0], counts[0])
    blocks.append(Paragraph(
        f'From seed to seed the mIoU of one head scatters by {noise.spread:.2f} (standard deviation, pooled over all '
        f'heads, {noise.degrees_of_freedom} degrees of freedom). The means of two heads with {counts[0]} '
        f'seed{"s" if counts[0] > 1 else ""} each differ by more than noise when they are more than {threshold:.2f} '
        f"apart ({_pairs(len(beyond), len(scores))}). Tukey's test: if all heads were equally good, the chance to "
        f'tell any two of them apart would be {LEVEL:.0%}.'))
    if len({findings.runs[head][0].iters for head in order}) > 1:
        blocks.append(Paragraph('The heads were trained for different numbers of iterations, so these are differences '
                                'between heads with their schedules.'))
    if not beyond:
        return [*blocks, Paragraph('So these trainings do not tell any head from another.')]
    rows = []
    for head in order:
        better = [other for other in order if (head, other) in beyond]
        worse = [other for other in order if (other, head) in beyond]
        equal = [other for other in order if other != head and other not in better and other not in worse]
        rows.append([head, _names(better), _names(equal), _names(worse)])
    return [*blocks, Table(['head', 'better than', 'cannot be told from', 'worse than'], rows)]


def _class_blocks(findings: Findings, order: list[str]) -> list[Block]:
    names = list(dict.fromkeys(name for head in order for run in findings.runs[head] for name in run.classes))
    if not names:
        return []
    rows = []
    for head in order:
        values = [[run.classes[name] for run in findings.runs[head] if name in run.classes] for name in names]
        rows.append([head, *(f'{statistics.fmean(found):.1f}' if found else '-' for found in values)])
    return [Heading('IoU of each class, %, mean over the seeds'), Table(['head', *names], rows)]


def _spread(values: list[float]) -> str:
    return f'{statistics.stdev(values):.2f}' if len(values) > 1 else '-'


def _training_memory(runs: list[TrainingRun]) -> str:
    found = [run.memory_mib for run in runs if run.memory_mib]
    return f'{max(found):.0f}' if found else '-'


def _pairs(beyond: int, heads: int) -> str:
    return f'{beyond} of the {heads * (heads - 1) // 2} pairs do'


def _names(heads: list[str]) -> str:
    return ', '.join(heads) or '-'
