"""Trains every head on one data set, and writes a table of the results.

    python tools/compare.py                                    every configs/*_r18_shapes.py
    python tools/compare.py --methods non_local ccnet fcn --iters 1200

What has been trained already is not trained again: an interrupted comparison goes on where it stopped.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from mmseg_attn.engine.errors import UserError, readable_errors
from mmseg_attn.environment import require_openmmlab

ROOT = Path(__file__).resolve().parents[1]

with readable_errors():
    require_openmmlab()
    import torch
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from rich.console import Console

    from mmseg_attn.registry import MODELS

SUFFIX = {'shapes': '_r18_shapes'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', choices=sorted(SUFFIX), default='shapes', help='data set')
    parser.add_argument('--methods', nargs='+', metavar='METHOD', help='all with a config for the data if not given')
    parser.add_argument('--iters', type=int, help="training iterations of all; each config's own if not given")
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--cfg-options', nargs='+', default=[], metavar='KEY=VALUE',
        help='passed on to train.py; what has been trained with other options is refused')
    parser.add_argument('--work-dir', type=Path, help='work_dirs/compare_<data> by default')
    return parser.parse_args()


def configs_of(data: str, methods: list[str] | None) -> dict[str, Path]:
    found = {path.stem.removesuffix(SUFFIX[data]): path for path in sorted(ROOT.glob(f'configs/*{SUFFIX[data]}.py'))}
    unknown = set(methods or ()) - found.keys()
    if unknown:
        raise UserError(f'no config for {", ".join(sorted(unknown))}; --methods takes {", ".join(found)}')
    return {method: found[method] for method in methods or found}


def schedule_of(config: Path, iters: int | None) -> tuple[int, list[str]]:
    """The number of iterations, and the --cfg-options that bring it about."""
    cfg = Config.fromfile(config)
    iters = cfg.train_cfg.max_iters if iters is None else iters
    warm_up = cfg.param_scheduler[0].end
    if iters <= warm_up:
        raise UserError(f'--iters must be more than the {warm_up} of the warm-up, got {iters}')
    return iters, [f'train_cfg.max_iters={iters}', f'train_cfg.val_interval={iters}', f'param_scheduler.1.end={iters}',
                   f'param_scheduler.1.T_max={iters - warm_up}', f'default_hooks.checkpoint.interval={iters}']


def train(config: Path, work_dir: Path, seed: int, iters: int, schedule: list[str], options: list[str]) -> dict:
    work_dir.mkdir(parents=True, exist_ok=True)
    # The schedule last, so that no option can make the table say what was not done.
    command = [sys.executable, str(ROOT / 'tools' / 'train.py'), str(config), '--work-dir', str(work_dir),
               '--cfg-options', *options, *schedule, f'randomness.seed={seed}']
    started = time.time()
    with open(work_dir / 'train.log', 'w') as log:
        failed = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode
    if failed:
        raise UserError(f'training {config.name} failed; its output is in {work_dir / "train.log"}')
    minutes = (time.time() - started) / 60
    run = max(work_dir.glob('*/vis_data'))
    lines = [json.loads(line) for line in (run / 'scalars.json').read_text().splitlines()]
    seconds = [line['time'] for line in lines if 'loss' in line]
    return dict(mIoU=next(line['mIoU'] for line in reversed(lines) if 'mIoU' in line), iters=iters, options=options,
                seconds_per_iter=statistics.median(seconds) if seconds else None, minutes=minutes,
                head_parameters=head_parameters(run / 'config.py'))


def head_parameters(config: Path) -> int:
    init_default_scope('mmseg')
    return sum(p.numel() for p in MODELS.build(Config.fromfile(config).model).decode_head.parameters())


def read_result(path: Path, options: list[str]) -> dict:
    row = json.loads(path.read_text())
    if row['options'] != options:
        raise UserError(f'{path} was trained with the options {row["options"]}, not {options}: '
                        'choose another --work-dir, or remove it')
    return row


def table(results: dict[str, dict]) -> str:
    lines = ['| head | mIoU | iterations | parameters of the head | time per iteration | time |',
             '| --- | --- | --- | --- | --- | --- |']
    for method, row in sorted(results.items(), key=lambda item: -item[1]['mIoU']):
        seconds = '' if row['seconds_per_iter'] is None else f'{row["seconds_per_iter"]:.2f} s'
        lines.append(f'| {method} | {row["mIoU"]:.1f} | {row["iters"]} | {row["head_parameters"] / 1e6:.2f} M | '
                     f'{seconds} | {row["minutes"]:.1f} min |')
    return '\n'.join(lines) + '\n'


def main() -> None:
    args = parse_args()
    console = Console()
    work_dir = args.work_dir or Path('work_dirs') / f'compare_{args.data}'
    results = {}
    for method, config in configs_of(args.data, args.methods).items():
        iters, schedule = schedule_of(config, args.iters)
        result = work_dir / f'{method}-{iters}-seed{args.seed}.json'
        if not result.is_file():
            with console.status(f'{method}: {iters} iterations'):
                row = train(config, work_dir / result.stem, args.seed, iters, schedule, args.cfg_options)
            result.write_text(json.dumps(row, indent=1))
        results[method] = read_result(result, args.cfg_options)
        console.print(f'{method}: mIoU {results[method]["mIoU"]:.1f} after {iters} iterations')
    text = (f'{table(results)}\nSeed {args.seed}, {torch.get_num_threads()} CPU threads, '
            f'{"GPU" if torch.cuda.is_available() else "no GPU"}, torch {torch.__version__}.\n')
    (work_dir / 'README.md').write_text(text)
    print(f'\n{text}\nThe table is in {work_dir / "README.md"}')


if __name__ == '__main__':
    with readable_errors():
        main()
