"""Reads every image and label map of a config's data sets, and says whether training on them is sensible.

    mmseg-attn check_data configs/emanet_r18_camvid.py
    mmseg-attn check_data my_config.py --splits train val --nproc 16

Writes report.txt, which names all files that something is wrong with, and overlays_<split>.png, images with their label
maps laid over them. Exit code: 0 training is sensible, 1 it is not, 2 the command or the config is wrong.
docs/data_preparation.md explains what is reported.
"""

import argparse
from pathlib import Path

from mmseg_attn.common.arguments import add_cfg_options, check_at_least

SPLITS = 'train', 'val', 'test'
MOST_FILES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file, or the name of a shipped config')
    parser.add_argument('--splits', nargs='+', choices=SPLITS, default=SPLITS, help='all of the config by default')
    parser.add_argument('--nproc', type=int, help='processes; as many as CPUs by default')
    parser.add_argument(
        '--out-dir', type=Path, metavar='DIR',
        help='where report and pictures go; work_dirs/<config>/check_data by default')
    add_cfg_options(parser)


def main(args: argparse.Namespace) -> int:
    from rich.console import Console

    from mmseg_attn.common.classes import add_palettes
    from mmseg_attn.common.config import load_config
    from mmseg_attn.common.config_checks import check_config
    from mmseg_attn.common.files import require_writable
    from mmseg_attn.data_tools.check import DataCheck, splits_of, write
    from mmseg_attn.data_tools.findings import Level
    from mmseg_attn.data_tools.parallel import available_cpus
    check_at_least(1, nproc=args.nproc)
    cfg = load_config(args.config, args.cfg_options)
    check_config(cfg)
    add_palettes(cfg)
    out_dir = args.out_dir or Path(cfg.work_dir) / 'check_data'
    require_writable(out_dir)
    check = DataCheck(cfg, args.nproc or available_cpus())
    check.run(splits_of(cfg, args.splits))
    check.print(Console(), most_files=MOST_FILES)
    write(check, out_dir, Path(args.config).stem)
    return 1 if check.count(Level.ERROR) else 0
