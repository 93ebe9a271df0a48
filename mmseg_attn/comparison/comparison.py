"""The whole comparison: trains, measures, draws and writes the report."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from mmengine.config import Config
from mmseg.models import BaseSegmentor
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from mmseg_attn.benchmark import machine
from mmseg_attn.checkpoints import load_model
from mmseg_attn.common.amp import autocast, describe_amp
from mmseg_attn.common.config import load_config
from mmseg_attn.common.document import Picture, to_html, to_markdown
from mmseg_attn.common.files import write_text
from mmseg_attn.engine.amp import dtype_of
from mmseg_attn.registry import MODELS

from . import curves, report, runs, samples
from .costs import ROUNDS, measure_costs

TRAIN = [sys.executable, '-m', 'mmseg_attn', 'train']


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
                        run = runs.train(folder, seeded, TRAIN,
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
    """Costs of the networks, the size of the image that they were measured on, and pictures of predictions.

    ``folders`` has one training of each head. Where its checkpoint has been removed there are costs only.
    """
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task('predictions', total=len(configs) + ROUNDS)
        checkpoints = {head: runs.checkpoint(folder) for head, folder in folders.items()}
        trained = {head: load_model(folders[head] / runs.CONFIG, path, device)
                   for head, path in checkpoints.items() if path}
        models = {head: trained.get(head) or _untrained(folder / runs.CONFIG, device)
                  for head, folder in folders.items()}
        cfg = next(iter(configs.values()))
        with autocast(device, dtype_of(cfg, device)):
            found, shape = samples.predict(trained, cfg, max(count, 1), lambda: progress.advance(task))
        progress.update(task, description='costs')
        costs = measure_costs(models, shape, device, dtype_of(cfg, device), lambda: progress.advance(task))
    size = shape[1:]
    if not count or not trained:
        return costs, size, []
    path = pictures / 'samples.png'
    samples.draw(found, next(iter(trained.values())).dataset_meta, path)
    return costs, size, [Picture(path, 'Predictions of the first seed')]


def _untrained(config: Path, device: str) -> BaseSegmentor:
    cfg = load_config(str(config))
    cfg.model.update(pretrained=None, auxiliary_head=None)
    return MODELS.build(cfg.model).to(device).eval().requires_grad_(False)


def circumstances(command: str, configs: dict[str, Config], device: str) -> list[str]:
    cfg = next(iter(configs.values()))
    hardware, versions, commit = machine.hardware(torch.device(device)), machine.versions(), machine.commit()
    schedules = sorted({cfg.train_cfg.max_iters for cfg in configs.values()})
    batch = cfg.train_dataloader.batch_size
    packages = {name: version for name, version in versions.items() if version is not None}
    dtype = dtype_of(cfg, device)
    return [
        f'Command: {command}',
        f'All networks have the same backbone ({cfg.model.backbone.type}), data ({cfg.train_dataloader.dataset.type}), '
        f'optimizer ({cfg.optim_wrapper.optimizer.type}) and schedule '
        f'({" or ".join(map(str, schedules))} iterations of {batch} images), but for the head with its losses. The '
        'last checkpoint counts, not the best.',
        *([] if dtype is None else [f'{describe_amp(device, dtype)}.']),
        f'Machine: {hardware.get("gpu") or hardware["cpu"]}, {hardware["usable_cores"]} CPU cores, '
        f'{torch.get_num_threads()} threads. '
        f'{", ".join(f"{name} {version}" for name, version in packages.items())}.',
        f'Commit: {commit["hash"]}{" with changes" if commit["dirty"] else ""}.' if commit else 'Commit: not known.']


def write(work_dir: Path, title: str, findings: report.Findings, told: list[str], pictures: list[Picture]) -> None:
    curves_path = work_dir / 'learning_curves.png'
    curves.draw({head: findings.runs[head] for head in findings.by_accuracy()}, curves_path)
    blocks = report.build(findings, told, [
        Picture(curves_path, 'Learning curves: mean of the seeds, and the range of their mIoU'), *pictures])
    write_text(work_dir / 'README.md', to_markdown(title, blocks))
    write_text(work_dir / 'report.html', to_html(title, blocks))
    write_text(work_dir / 'results.json', json.dumps(asdict(findings), indent=1))
