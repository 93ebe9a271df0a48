"""Trains several heads under one recipe with several seeds, and reports which differences exceed the seed noise.

    mmseg-attn compare --iters 400                                  every configs/*_r18_shapes.py, built-in data
    mmseg-attn compare --methods non_local emanet fcn --seeds 0 1 2
    mmseg-attn compare --data camvid --seeds 0 1 2                  every configs/*_mbv2_camvid.py, CamVid
    mmseg-attn compare --configs A.py B.py --recipe recipe.py --iters 2000 --seeds 0 1 2

Every training runs `mmseg-attn train`. What has been trained already is not trained again: the same command goes on
where an interrupted one stopped, and adds heads and seeds. docs/comparing.md tells how to read the report.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmseg_attn.common.arguments import add_amp, add_cfg_options, add_device, check_at_least, check_device
from mmseg_attn.common.errors import INTERRUPTED, UserError
from mmseg_attn.common.shipped import configs_folder

# PyTorch's profiler, which measures memory on the CPU, otherwise reports each start and stop. It looks at its import.
os.environ.setdefault('KINETO_LOG_LEVEL', '99')

# Of the names of the configs that are compared on these data.
SUFFIXES = {'shapes': '_r18_shapes', 'camvid': '_mbv2_camvid'}
FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--data', choices=list(SUFFIXES), help='trains configs/*_r18_shapes.py (default) or '
                        'configs/*_mbv2_camvid.py')
    parser.add_argument('--methods', nargs='+', metavar='METHOD', help='with --data: these of them; all if not given')
    parser.add_argument('--configs', nargs='+', type=Path, metavar='CONFIG', help='trains these instead')
    parser.add_argument('--recipe', type=Path, metavar='FILE',
                        help='settings that are laid over every config: data, schedule, ...')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], help='one training with each (default: 0)')
    parser.add_argument('--iters', type=int, help="iterations of every training; those of the recipe if not given")
    parser.add_argument('--own-schedules', action='store_true', help='let the configs differ in their schedules')
    parser.add_argument('--samples', type=int, default=4, help='images whose predictions are shown (default: 4)')
    parser.add_argument('--work-dir', type=Path, help='folder of all (default: work_dirs/compare_<data>)')
    add_amp(parser)
    add_device(parser, 'where costs are measured and predictions made; trainings take a GPU if there is one')
    add_cfg_options(parser, 'all configs, over those of the recipe')


def main(args: argparse.Namespace) -> int:
    from rich.console import Console

    from mmseg_attn.comparison import report, runs
    from mmseg_attn.comparison.comparison import circumstances, measure_and_sample, train_all, write
    from mmseg_attn.comparison.recipe import check_equal, prepare
    from mmseg_attn.engine.amp import dtype_of
    check(args)
    device = check_device(args.device)
    console = Console(markup=False)
    name = 'own' if args.configs else args.data or 'shapes'
    work_dir = args.work_dir or Path('work_dirs') / f'compare_{name}'
    configs = {head: prepare(path, args.recipe, args.cfg_options, args.iters, args.amp)
               for head, path in paths_of(args).items()}
    check_equal(configs, args.own_schedules)
    for cfg in configs.values():
        dtype_of(cfg, device)
    for head, cfg in configs.items():
        for seed in args.seeds:
            runs.check_folder(work_dir / head / f'seed{seed}', runs.with_seed(cfg, seed))
    try:
        finished, failures = train_all(configs, args.seeds, work_dir, console)
    except KeyboardInterrupt:
        console.print('Interrupted. The same command goes on from the last checkpoint.')
        return INTERRUPTED
    if not finished:
        raise UserError(f'no training has ended well; the logs are in {work_dir}')
    folders = {head: runs.first_with_checkpoint([work_dir / head / f'seed{run.seed}' for run in of_head])
               for head, of_head in finished.items()}
    costs, size, pictures = measure_and_sample(configs, folders, device, args.samples, work_dir, console)
    findings = report.Findings(finished, costs, failures, size)
    told = circumstances(args.command, configs, device)
    write(work_dir, f'Heads compared on {name}', findings, told, pictures)
    for head in findings.by_accuracy():
        console.print(f'{report.mean_miou(finished[head]):6.2f}  {head}')
    console.print(f'The report: {work_dir / "report.html"} and {work_dir / "README.md"}')
    return FAILED if failures else 0


def check(args: argparse.Namespace) -> None:
    if args.configs and (args.data or args.methods):
        raise UserError('--configs takes the place of --data and --methods')
    if len(set(args.seeds)) < len(args.seeds) or min(args.seeds) < 0:
        raise UserError(f'--seeds takes different numbers from 0, got {" ".join(map(str, args.seeds))}')
    check_at_least(1, iters=args.iters)
    check_at_least(0, samples=args.samples)


def paths_of(args: argparse.Namespace) -> dict[str, Path]:
    """Name of the head -> its config."""
    if args.configs:
        names = [path.stem for path in args.configs]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise UserError(f'--configs has {", ".join(sorted(twice))} twice: a head is named after its file')
        return dict(zip(names, args.configs, strict=True))
    suffix = SUFFIXES[args.data or 'shapes']
    found = {path.stem.removesuffix(suffix): path for path in sorted(configs_folder().glob(f'*{suffix}.py'))}
    unknown = set(args.methods or ()) - found.keys()
    if unknown:
        raise UserError(f'no config for {", ".join(sorted(unknown))}; --methods takes {", ".join(found)}')
    return {method: found[method] for method in args.methods or found}
