"""Reports over a data set where the attention of each class goes, how far it reaches, and what predictions rely on.

    mmseg-attn explore_dataset CONFIG CHECKPOINT --out report
    mmseg-attn explore_dataset CONFIG CHECKPOINT --out report --images 100 --mask Road Building   without these classes
    mmseg-attn explore_dataset CONFIG CHECKPOINT --out report --block backbone.layer3.5.non_local

The images and labels are those of the config's test_dataloader. Interrupted, the same command goes on where it
stopped. docs/context_report.md tells what the numbers mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmseg_attn.common.arguments import add_cfg_options, add_device, check_at_least, check_device
from mmseg_attn.common.errors import UserError

ALL = 'all'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file, or the name of a shipped config')
    parser.add_argument('checkpoint', type=Path, help='checkpoint file')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder of the report')
    parser.add_argument('--images', type=int, metavar='N', help='of the data set, evenly over it; all if not given')
    parser.add_argument('--points', type=int, default=4, metavar='N', help='of each class in an image (default: 4)')
    parser.add_argument('--block', default='', metavar='NAME', help='the attention of this block instead of the head')
    parser.add_argument('--influence', action='store_true', help='the exact influence instead of the attention')
    parser.add_argument('--mask', nargs='+', metavar='CLASS', default=[],
                        help='classes, by name or number, that are replaced one at a time; all for each of them')
    parser.add_argument('--fill', choices=('mean', 'blur', 'noise'), default='mean',
                        help='by what their pixels are replaced (default: mean)')
    parser.add_argument('--seed', type=int, default=0, help='by which points are drawn (default: 0)')
    add_device(parser)
    add_cfg_options(parser)


def main(args: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from mmseg_attn.checkpoints import load_model
    from mmseg_attn.common.config import load_config
    from mmseg_attn.common.config_checks import check_config
    from mmseg_attn.common.files import require_file, require_writable
    from mmseg_attn.context.images import Settings
    from mmseg_attn.context.report import PAGE, write
    from mmseg_attn.context.running import run
    from mmseg_attn.datasets.listing import check_listings
    from mmseg_attn.explain.view import require_block
    from mmseg_attn.inference.prediction import Predictor
    check_at_least(1, images=args.images, points=args.points)
    check_at_least(0, seed=args.seed)
    if args.block and args.influence:
        raise UserError('--block shows the attention of a block, --influence what no block has: give one of the two')
    device = check_device(args.device)
    cfg = load_config(args.config, args.cfg_options)
    check_config(cfg, 'test_dataloader')
    check_listings(cfg, 'test_dataloader')
    require_file(args.checkpoint, 'checkpoint')
    require_writable(args.out)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    with console.status('loading'):
        model = load_model(args.config, args.checkpoint, device, args.cfg_options)
    require_block(model, args.block)
    classes = list(model.dataset_meta['classes'])
    settings = Settings(args.points, _classes_of(args.mask, classes), args.fill, args.block, args.influence, args.seed)
    columns = *Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task('images', total=None)
        images = run(Predictor(model), cfg, settings, args.checkpoint, args.images, args.out,
                     lambda done, total: progress.update(task, completed=done, total=total))
    write(args.out, images, classes, settings, f'Context of {Path(args.config).stem}')
    console.print(f'The report on {len(images)} images: {args.out / PAGE}')


def _classes_of(names: list[str], classes: list[str]) -> tuple[int, ...]:
    if names == [ALL]:
        return tuple(range(len(classes)))
    known = [name.lower() for name in classes]
    found = []
    for name in names:
        if name.lower() in known:
            found.append(known.index(name.lower()))
        elif name.isdecimal() and int(name) < len(classes):
            found.append(int(name))
        else:
            raise UserError(f'--mask {name} is no class: there are {", ".join(classes)}')
    return tuple(sorted(set(found)))
