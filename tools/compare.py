"""Trains several heads under one recipe with several seeds, and reports which differences exceed the seed noise.

    python tools/compare.py --iters 400                                  every configs/*_r18_shapes.py, built-in data
    python tools/compare.py --methods non_local emanet fcn --seeds 0 1 2
    python tools/compare.py --data camvid --seeds 0 1 2                  the same networks on CamVid at half its size
    python tools/compare.py --configs A.py B.py --recipe recipe.py --iters 2000 --seeds 0 1 2

Every training runs train.py. What has been trained already is not trained again: the same command goes on where an
interrupted one stopped, and adds heads and seeds. docs/comparing.md tells how to read the report.
"""

import argparse
import json
import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from mmseg_attn.engine.errors import UserError, readable_errors
from mmseg_attn.environment import require_openmmlab

ROOT = Path(__file__).resolve().parents[1]
# PyTorch's profiler, which measures memory on the CPU, otherwise reports each start and stop. It looks at its import.
os.environ.setdefault('KINETO_LOG_LEVEL', '99')

with readable_errors():
    require_openmmlab()
    import torch
    from mmengine.config import Config
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    from mmseg_attn.benchmark import machine
    from mmseg_attn.comparison import curves, report, runs, samples
    from mmseg_attn.comparison.costs import ROUNDS, measure_costs
    from mmseg_attn.comparison.document import Picture, to_html, to_markdown
    from mmseg_attn.comparison.recipe import check_equal, prepare
    from mmseg_attn.engine.arguments import SettingsAction, check_device
    from mmseg_attn.explain import load_model

SUFFIX = '_r18_shapes'
RECIPES = {'shapes': None, 'camvid': ROOT / 'configs' / 'recipes' / 'camvid_small.py'}
FAILED, INTERRUPTED = 1, 130


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', choices=list(RECIPES), help='trains the networks of configs/*_r18_shapes.py on these '
                        'data (default: shapes)')
    parser.add_argument('--methods', nargs='+', metavar='METHOD', help='with --data: these of them; all if not given')
    parser.add_argument('--configs', nargs='+', type=Path, metavar='CONFIG', help='trains these instead')
    parser.add_argument('--recipe', type=Path, metavar='FILE',
                        help='settings that are laid over every config: data, schedule, ...')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], help='one training with each (default: 0)')
    parser.add_argument('--iters', type=int, help="iterations of every training; those of the recipe if not given")
    parser.add_argument('--own-schedules', action='store_true', help='let the configs differ in their schedules')
    parser.add_argument('--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE',
                        help='settings of all configs, over those of the recipe')
    parser.add_argument('--samples', type=int, default=4, help='images whose predictions are shown (default: 4)')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu',
                        help='where costs are measured (default: %(default)s); trainings take a GPU if there is one')
    parser.add_argument('--work-dir', type=Path, help='folder of all (default: work_dirs/compare_<data>)')
    args = parser.parse_args()
    check(args)
    check_device(args.device)
    return args


def check(args: argparse.Namespace) -> None:
    if args.configs and (args.data or args.methods):
        raise UserError('--configs takes the place of --data and --methods')
    if len(set(args.seeds)) < len(args.seeds) or min(args.seeds) < 0:
        raise UserError(f'--seeds takes different numbers from 0, got {" ".join(map(str, args.seeds))}')
    if args.iters is not None and args.iters < 1:
        raise UserError(f'--iters must be at least 1, got {args.iters}')
    if args.samples < 0:
        raise UserError(f'--samples must be at least 0, got {args.samples}')


def paths_of(args: argparse.Namespace) -> dict[str, Path]:
    """Name of the head -> its config."""
    if args.configs:
        names = [path.stem for path in args.configs]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise UserError(f'--configs has {", ".join(sorted(twice))} twice: a head is named after its file')
        return dict(zip(names, args.configs, strict=True))
    found = {path.stem.removesuffix(SUFFIX): path for path in sorted(ROOT.glob(f'configs/*{SUFFIX}.py'))}
    unknown = set(args.methods or ()) - found.keys()
    if unknown:
        raise UserError(f'no config for {", ".join(sorted(unknown))}; --methods takes {", ".join(found)}')
    return {method: found[method] for method in args.methods or found}


def train_all(configs: dict[str, Config], seeds: list[int], work_dir: Path, console: Console
              ) -> tuple[dict[str, list[runs.TrainingRun]], dict[str, str]]:
    """Trains what has not been trained. Returns the finished runs of each head, and why others failed."""
    finished, failures = {}, {}
    columns = (*Progress.get_default_columns(), TextColumn('after'), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task('', total=len(seeds) * sum(cfg.train_cfg.max_iters for cfg in configs.values()))
        done = 0
        # Seed after seed, so that an early end has the same seeds of all heads.
        for seed in seeds:
            for head, cfg in configs.items():
                folder, seeded = work_dir / head / f'seed{seed}', runs.with_seed(cfg, seed)
                progress.update(task, description=f'{head}, seed {seed}', completed=done)
                run = runs.read(folder)
                if run is None:
                    try:
                        run = runs.train(folder, seeded, [sys.executable, str(ROOT / 'tools' / 'train.py')],
                                         lambda iters, before=done: progress.update(task, completed=before + iters))
                    except runs.TrainingError as error:
                        failures[head] = f'seed {seed} failed: {error}'
                        console.print(f'{head}, {failures[head]}', style='red')
                if run is not None:
                    finished.setdefault(head, []).append(run)
                    console.print(f'{head}, seed {seed}: mIoU {run.miou:.2f} after {run.iters} iterations')
                done += cfg.train_cfg.max_iters
    return finished, failures


def measure_and_sample(configs: dict[str, Config], folders: dict[str, Path], device: str, count: int, pictures: Path,
                       console: Console) -> tuple[dict[str, report.Cost], tuple[int, int], list[Picture]]:
    """Costs of the trained networks, the size of the image that they were measured on, and pictures of predictions."""
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task('predictions', total=len(configs) + ROUNDS)
        models = {head: load_model(folder / runs.CONFIG, runs.checkpoint(folder), device)
                  for head, folder in folders.items()}
        found, size = samples.predict(models, next(iter(configs.values())), max(count, 1),
                                      lambda: progress.advance(task))
        progress.update(task, description='costs')
        costs = measure_costs(models, size, device, lambda: progress.advance(task))
    if not count:
        return costs, size, []
    path = pictures / 'samples.png'
    samples.draw(found, next(iter(models.values())).dataset_meta, path)
    return costs, size, [Picture(path, 'Predictions of the first seed')]


def circumstances(args: argparse.Namespace, configs: dict[str, Config], device: str) -> list[str]:
    cfg = next(iter(configs.values()))
    hardware, versions, commit = machine.hardware(torch.device(device)), machine.versions(), machine.commit()
    schedules = sorted({cfg.train_cfg.max_iters for cfg in configs.values()})
    batch = cfg.train_dataloader.batch_size
    packages = {name: version for name, version in versions.items() if version is not None}
    return [
        f'Command: {shlex.join(["python", "tools/compare.py", *sys.argv[1:]])}',
        f'All networks have the same backbone ({cfg.model.backbone.type}), data ({cfg.train_dataloader.dataset.type}), '
        f'optimizer ({cfg.optim_wrapper.optimizer.type}) and schedule '
        f'({" or ".join(map(str, schedules))} iterations of {batch} images), but for the head with its losses. The '
        'last checkpoint counts, not the best.',
        f'Machine: {hardware.get("gpu") or hardware["cpu"]}, {hardware["usable_cores"]} CPU cores, '
        f'{torch.get_num_threads()} threads. '
        f'{", ".join(f"{name} {version}" for name, version in packages.items())}.',
        f'Commit: {commit["hash"]}{" with changes" if commit["dirty"] else ""}.' if commit else 'Commit: not known.']


def write(work_dir: Path, title: str, findings: report.Findings, told: list[str], pictures: list[Picture]) -> None:
    curves_path = work_dir / 'learning_curves.png'
    curves.draw({head: findings.runs[head] for head in findings.by_accuracy()}, curves_path)
    blocks = report.build(findings, told, [
        Picture(curves_path, 'Learning curves: mean of the seeds, and the range of their mIoU'), *pictures])
    (work_dir / 'README.md').write_text(to_markdown(title, blocks))
    (work_dir / 'report.html').write_text(to_html(title, blocks))
    (work_dir / 'results.json').write_text(json.dumps(asdict(findings), indent=1))


def main() -> int:
    args = parse_args()
    console = Console()
    recipe = args.recipe or RECIPES[args.data or 'shapes'] if not args.configs else args.recipe
    name = 'own' if args.configs else args.data or 'shapes'
    work_dir = args.work_dir or Path('work_dirs') / f'compare_{name}'
    configs = {head: prepare(path, recipe, args.cfg_options, args.iters) for head, path in paths_of(args).items()}
    check_equal(configs, args.own_schedules)
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
    folders = {head: work_dir / head / f'seed{of_head[0].seed}' for head, of_head in finished.items()}
    costs, size, pictures = measure_and_sample(configs, folders, args.device, args.samples, work_dir, console)
    findings = report.Findings(finished, costs, failures, size)
    write(work_dir, f'Heads compared on {name}', findings, circumstances(args, configs, args.device), pictures)
    for head in findings.by_accuracy():
        console.print(f'{report.mean_miou(finished[head]):6.2f}  {head}')
    console.print(f'The report: {work_dir / "report.html"} and {work_dir / "README.md"}')
    return FAILED if failures else 0


if __name__ == '__main__':
    with readable_errors():
        sys.exit(main())
