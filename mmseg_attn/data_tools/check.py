"""The whole check of a config's data: reads, judges, reports."""

from pathlib import Path

from mmengine.config import Config
from rich.console import Console

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_write

from .config_data import SPLITS, ConfigData, open_data
from .examination import Histogram, check_batches, check_classes, check_files, check_overlap
from .findings import Finding, Level
from .overlays import draw_sheet
from .pairs import PairContent, read_pair
from .parallel import run_parallel
from .report import print_data, print_findings, print_histograms
from .settings_check import check_settings
from .split_check import check_splits
from .trial import try_images


class DataCheck:
    """The check of one config: what was found, and in which data."""

    def __init__(self, cfg: Config, nproc: int):
        self.cfg = cfg
        self.nproc = nproc
        self.findings: dict[str, list[Finding]] = {'config': []}
        self.data: list[ConfigData] = []
        self.contents: list[list[PairContent]] = []
        self.histograms: dict[str, Histogram] = {}

    def run(self, splits: list[str]) -> None:
        for split in splits:
            self._read(split)
        self.findings['config'] += [*check_settings(self.cfg, self.data, self.contents),
                                    *check_overlap(self.data), *check_splits(self.cfg, self.data, self.contents)]

    def _read(self, split: str) -> None:
        try:
            opened = open_data(self.cfg, split)
        except UserError as error:
            self.findings['config'].append(Finding(Level.ERROR, str(error)))
            return
        pairs = list(dict.fromkeys(pair for data in opened for pair in data.pairs))
        found = {content.pair: content
                 for content in run_parallel(read_pair, pairs, self.nproc, f'Reading {split}', len(pairs))}
        histogram = Histogram(max((data.class_map.classes for data in opened), key=len))
        for data in opened:
            contents = [found[pair] for pair in data.pairs]
            self.data.append(data)
            self.contents.append(contents)
            self.findings[data.where] = [*data.findings, *check_files(data, contents),
                                         *check_batches(self.cfg, data, contents),
                                         *try_images(self.cfg, data, contents)]
            for content in contents:
                histogram.add(data, content)
        self.histograms[split] = histogram
        self.findings['config'] += check_classes(split, histogram)

    def samples(self, split: str) -> list[tuple[ConfigData, PairContent]]:
        return [(data, content) for data, contents in zip(self.data, self.contents, strict=True) if data.split == split
                for content in contents]

    def count(self, level: Level) -> int:
        return sum(finding.level is level for findings in self.findings.values() for finding in findings)

    def print(self, console: Console, most_files: int | None) -> None:
        for data, contents in zip(self.data, self.contents, strict=True):
            print_data(console, data, contents)
            print_findings(console, self.findings[data.where], most_files)
        if self.findings['config']:
            console.print('\n[bold]Altogether[/]')
            print_findings(console, self.findings['config'], most_files)
        console.print()
        print_histograms(console, self.histograms)
        console.print(f'\n{self.verdict()}', highlight=False)

    def verdict(self) -> str:
        errors, warnings = self.count(Level.ERROR), self.count(Level.WARNING)
        numbers = f'{errors} error{"s" * (errors != 1)}, {warnings} warning{"s" * (warnings != 1)}'
        return f'Training is sensible: {numbers}.' if not errors else f'Training is NOT sensible: {numbers}.'


def splits_of(cfg: Config, wanted: list[str]) -> list[str]:
    """Those of the splits that the config has, without a test split that is the validation split once more."""
    splits = [split for split in SPLITS if split in wanted and cfg.get(f'{split}_dataloader')]
    if not splits:
        raise UserError(f'the config has none of {", ".join(f"{split}_dataloader" for split in wanted)}')
    same = {'val', 'test'} <= set(splits) and cfg.val_dataloader.dataset == cfg.test_dataloader.dataset
    return [split for split in splits if split != 'test' or not same]


def write(check: DataCheck, out_dir: Path, name: str) -> None:
    report = out_dir / 'report.txt'
    with atomic_write(report) as partial, open(partial, 'w', encoding='utf-8') as file:
        check.print(Console(file=file, width=160), most_files=None)
    print(f'The same with the names of all files: {report}')
    for split in check.histograms:
        sheet = out_dir / f'overlays_{split}.png'
        sheet.unlink(missing_ok=True)
        if draw_sheet(check.samples(split), sheet, f'{split} of {name}'):
            print(f'Images with label maps: {sheet}')
