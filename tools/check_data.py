"""Reads every image and label map of a config's data sets, and says whether training on them is sensible.

    python tools/check_data.py configs/emanet_r18_camvid.py
    python tools/check_data.py my_config.py --splits train val --nproc 16

Writes report.txt, which names all files that something is wrong with, and overlays_<split>.png, images with their label
maps laid over them. Exit code: 0 training is sensible, 1 it is not, 2 the command or the config is wrong.
docs/data_preparation.md explains what is reported.
"""

import argparse
import os
import sys
from pathlib import Path

from mmseg_attn.engine.errors import UserError, readable_errors
from mmseg_attn.environment import require_openmmlab

with readable_errors():
    require_openmmlab()
    from mmengine.config import Config
    from rich.console import Console

    from mmseg_attn.data_tools.config_data import SPLITS, ConfigData, open_data
    from mmseg_attn.data_tools.examination import Histogram, check_classes, check_files, check_overlap
    from mmseg_attn.data_tools.findings import Finding, Level
    from mmseg_attn.data_tools.overlays import draw_sheet
    from mmseg_attn.data_tools.pairs import PairContent, read_pair
    from mmseg_attn.data_tools.parallel import available_cpus, run_parallel
    from mmseg_attn.data_tools.report import print_data, print_findings, print_histograms
    from mmseg_attn.data_tools.settings_check import check_settings
    from mmseg_attn.engine.arguments import SettingsAction
    from mmseg_attn.engine.config import check_config, load_config

MOST_FILES = 5


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--splits', nargs='+', choices=SPLITS, default=SPLITS, help='all of the config by default')
    parser.add_argument('--nproc', type=int, default=available_cpus(), help='processes; as many as CPUs by default')
    parser.add_argument(
        '--out-dir', type=Path, metavar='DIR',
        help='where report and pictures go; work_dirs/<config>/check_data by default')
    parser.add_argument(
        '--cfg-options', nargs='+', action=SettingsAction, default={}, metavar='KEY=VALUE',
        help='override settings of the config, as in train.py')
    return parser.parse_args()


class Check:
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
        self.findings['config'] += check_settings(self.cfg, self.data) + check_overlap(self.data)

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
            self.findings[data.where] = data.findings + check_files(data, contents)
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


def write(check: Check, out_dir: Path, name: str) -> None:
    out_dir.mkdir(parents=True, exist_ok=True)
    report = out_dir / 'report.txt'
    partial = report.with_name('report.txt.partial')
    with open(partial, 'w', encoding='utf-8') as file:
        check.print(Console(file=file, width=160), most_files=None)
    os.replace(partial, report)
    print(f'The same with the names of all files: {report}')
    for split in check.histograms:
        sheet = out_dir / f'overlays_{split}.png'
        sheet.unlink(missing_ok=True)
        if draw_sheet(check.samples(split), sheet, f'{split} of {name}'):
            print(f'Images with label maps: {sheet}')


def main() -> int:
    args = parse_args()
    if args.nproc < 1:
        raise UserError(f'--nproc must be at least 1, got {args.nproc}')
    cfg = load_config(args.config, args.cfg_options)
    if not isinstance(cfg.get('model'), dict):
        raise UserError(f'{args.config} has no model, and so does not say what its label maps are for')
    check_config(cfg)
    out_dir = args.out_dir or Path(cfg.work_dir) / 'check_data'
    check = Check(cfg, args.nproc)
    try:
        check.run(splits_of(cfg, args.splits))
    except KeyboardInterrupt:
        return 130
    check.print(Console(), most_files=MOST_FILES)
    try:
        write(check, out_dir, Path(args.config).stem)
    except OSError as error:
        raise UserError(f'{out_dir} cannot be written to: {error.strerror or error}') from error
    return 1 if check.count(Level.ERROR) else 0


if __name__ == '__main__':
    with readable_errors():
        sys.exit(main())
