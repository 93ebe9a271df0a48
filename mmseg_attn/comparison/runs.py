"""One training of one head with one seed: done once, resumed where it stopped, and read back."""

import json
import os
import statistics
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mmengine.config import Config

import mmseg_attn
from mmseg_attn.checkpoints.config_text import text_of
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import write_text
from mmseg_attn.datasets.class_iou import PREFIX

from .recipe import differing_keys

CONFIG, RESULT, LOG = 'config.py', 'result.json', 'train.log'
# The training writes its config, with these, over ours.
ADDED_KEYS = {'launcher', 'resume', 'work_dir', 'default_hooks.checkpoint.type', 'default_hooks.visualization.type',
              # Of a config with AMP, since trainings also validate with it.
              'val_cfg.fp16', 'optim_wrapper.loss_scale'}


class TrainingError(RuntimeError):
    """A training ended with an error."""


@dataclass(frozen=True)
class TrainingRun:
    """What a training ended with. mIoU and IoU in per cent, on the validation data, of the last iteration.

    ``curve`` has (iteration, mIoU) of every validation, ``losses`` (iteration, loss) of every line of the log.
    ``memory_mib`` is the peak of the training on a GPU, None on the CPU.
    """

    seed: int
    iters: int
    miou: float
    classes: dict[str, float]
    curve: list[tuple[int, float]]
    losses: list[tuple[int, float]]
    seconds_per_iter: float | None
    memory_mib: float | None


def with_seed(cfg: Config, seed: int) -> Config:
    cfg = Config(cfg.to_dict())
    cfg.randomness = dict(cfg.get('randomness') or {}, seed=seed)
    return cfg


def check_folder(folder: Path, cfg: Config) -> None:
    """Checks that what is in the folder was trained with the same config.

    Raises:
        UserError: it was not; the settings that differ are named.
    """
    if not (folder / CONFIG).is_file():
        return
    before = Config.fromfile(folder / CONFIG).to_dict()
    added = ADDED_KEYS | ({'load_from'} if before.get('resume') else set())
    found = [key for key in differing_keys(before, _as_read(cfg)) if key not in added]
    if found:
        raise UserError(f'{folder} holds a training with other settings ({", ".join(found[:5])}): '
                        'choose another --work-dir, or remove the folder')


def _as_read(cfg: Config) -> dict:
    """The config as it comes back from a file, where tuples of numbers and keys may have become others."""
    return Config.fromstring(text_of(cfg), file_format='.py').to_dict()


def read(folder: Path) -> TrainingRun | None:
    """The finished training of a folder."""
    if not (folder / RESULT).is_file():
        return None
    fields = json.loads((folder / RESULT).read_text())
    fields['curve'], fields['losses'] = ([tuple(point) for point in fields[key]] for key in ('curve', 'losses'))
    return TrainingRun(**fields)


def train(folder: Path, cfg: Config, command: list[str], on_iteration: Callable[[int], None]) -> TrainingRun:
    """Trains in a process of its own, from the last checkpoint in the folder if there is one.

    Args:
        folder: of this training alone.
        cfg: with its seed.
        command: what starts the command ``train``.
        on_iteration: called now and then with the iterations done.

    Raises:
        TrainingError: the process failed; its output is in ``train.log``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / CONFIG, text_of(cfg))
    arguments = [str(folder / CONFIG), '--work-dir', str(folder), '--resume']
    with open(folder / LOG, 'a') as log:
        process = subprocess.Popen([*command, *arguments], stdout=log, stderr=subprocess.STDOUT, env=_environment())
        try:
            while process.poll() is None:
                try:
                    process.wait(timeout=1)
                except subprocess.TimeoutExpired:
                    on_iteration(max((line['step'] for line in scalars(folder) if 'loss' in line), default=0))
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        raise TrainingError(f'{_last_line(folder / LOG)} (all of its output: {folder / LOG})')
    run = _summary(folder, cfg)
    write_text(folder / RESULT, json.dumps(asdict(run), indent=1))
    return run


def _environment() -> dict[str, str]:
    """In which a training imports the packages that this process has, whatever folder it was started in."""
    paths = [str(Path(mmseg_attn.__file__).parents[1]), *filter(None, [os.environ.get('PYTHONPATH')])]
    return os.environ | dict(PYTHONPATH=os.pathsep.join(paths), PYTHONSAFEPATH='1')


def checkpoint(folder: Path) -> Path | None:
    """Of the last iteration; the folder may have been moved since. None where it has been removed."""
    if not (folder / 'last_checkpoint').is_file():
        return None
    path = folder / Path((folder / 'last_checkpoint').read_text().strip()).name
    return path if path.is_file() else None


def first_with_checkpoint(folders: list[Path]) -> Path:
    """The first of all where none has one."""
    return next((folder for folder in folders if checkpoint(folder)), folders[0])


def scalars(folder: Path) -> list[dict]:
    """The lines of mmengine's logs, of all starts of this training. A line that is being written is left out."""
    lines = []
    for path in sorted(folder.glob('*/vis_data/scalars.json')):
        for text in path.read_text().splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                continue
    return lines


def _summary(folder: Path, cfg: Config) -> TrainingRun:
    lines = scalars(folder)
    # What was repeated after an interruption is in the log twice, the later one last.
    validations = {line['step']: line for line in lines if 'mIoU' in line}
    iterations = {line['step']: line for line in lines if 'loss' in line}
    iters = cfg.train_cfg.max_iters
    if iters not in validations:
        raise TrainingError(f'no validation with a mIoU after {iters} iterations was logged in {folder}')
    last = validations[iters]
    times = [line['time'] for line in iterations.values() if 'time' in line]
    memory = [line['memory'] for line in iterations.values() if line.get('memory')]
    return TrainingRun(
        seed=cfg.randomness.seed, iters=iters, miou=last['mIoU'],
        classes={key.removeprefix(PREFIX): value for key, value in last.items() if key.startswith(PREFIX)},
        curve=[(step, line['mIoU']) for step, line in sorted(validations.items())],
        losses=[(step, line['loss']) for step, line in sorted(iterations.items())],
        seconds_per_iter=statistics.median(times) if times else None,
        memory_mib=max(memory) if memory else None)


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(errors='replace').splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith('error: ')]
    return (errors or lines or ['it said nothing'])[-1]
