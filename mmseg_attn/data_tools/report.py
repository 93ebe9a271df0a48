"""Shows what a check has found."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from .config_data import ConfigData
from .examination import Histogram
from .findings import Finding, Level
from .pairs import PairContent

BAR = 10


def print_data(console: Console, data: ConfigData, contents: list[PairContent]) -> None:
    sizes = sorted({content.size for content in contents if content.size})
    text = ''
    if sizes:
        (left, top), (right, bottom) = map(min, zip(*sizes, strict=True)), map(max, zip(*sizes, strict=True))
        text = f', {left} x {top}' + (f' to {right} x {bottom}' if len(sizes) > 1 else '') + ' pixels'
    console.print(f'\n[bold]{data.where}[/]: {data.type}, {len(data.pairs):,} images{text}', soft_wrap=True)


def print_findings(console: Console, findings: list[Finding], most_files: int | None) -> None:
    """Prints all findings, each with its first ``most_files`` files; None for all of them."""
    for finding in findings:
        colour = 'red' if finding.level is Level.ERROR else 'yellow'
        console.print(f'[{colour}]{finding.level.value}:[/] ', end='')
        console.print(finding.title, soft_wrap=True, markup=False, highlight=False)
        for file in finding.files[:most_files]:
            console.print(f'    {file}', soft_wrap=True, markup=False, highlight=False)
        if len(finding.files) > len(finding.files[:most_files]):
            console.print(f'    ... and {len(finding.files) - most_files:,} more')
        if finding.advice:
            console.print(f'  {finding.advice}', soft_wrap=True, markup=False, highlight=False)


def print_histograms(console: Console, histograms: dict[str, Histogram]) -> None:
    """One table for the splits whose classes are the same, with a bar for the first."""
    for classes in dict.fromkeys(histogram.classes for histogram in histograms.values()):
        of_these = {split: histogram for split, histogram in histograms.items() if histogram.classes == classes}
        console.print(_table(classes, of_these))


def _table(classes: tuple[str, ...], histograms: dict[str, Histogram]) -> Table:
    columns = [Column('class', overflow='fold')]
    for split in histograms:
        columns += [Column(title, justify='right', no_wrap=True) for title in (f'{split} %', 'images')]
    first = next(iter(histograms.values()))
    table = Table(*columns, Column('', no_wrap=True), title='Share of the pixels, and images that hold the class',
                  title_justify='left', box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    most = max(first.pixels, default=0) or 1
    for index, name in enumerate(classes):
        cells = []
        for histogram in histograms.values():
            cells += [_share(histogram.pixels[index], histogram), f'{histogram.images[index]:,}']
        table.add_row(f'{index} {name}', *cells, '█' * round(BAR * first.pixels[index] / most))
    table.add_section()
    for title, field in (('ignored', 'ignored'), ('no class', 'other')):
        cells = []
        for histogram in histograms.values():
            cells += [_share(getattr(histogram, field), histogram), '']
        table.add_row(title, *cells, '')
    return table


def _share(pixels: int, histogram: Histogram) -> str:
    return f'{100 * pixels / histogram.total:.2f}' if pixels else '-'
