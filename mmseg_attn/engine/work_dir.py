"""The folder of a run: one training at a time writes into it, and checkpoints of two runs never lie side by side."""

import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from mmengine.config import Config
from mmengine.dist import master_only
from mmengine.hooks import Hook

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import require_writable, write_text

from .checkpoint_files import TEMPLATES, Step, best_files, check_resumable, files_like, newest_whole
from .checkpoint_hook import POINTER

LOCK, HOLDER = '.training.lock', '.training.json'
# Loader workers of a killed training hold its lock until they notice, at most 5 seconds later.
SECONDS_TO_WAIT = 15
AUTO = 'auto'
# Slurm and torchrun give a job that they start again the same name.
STARTED_BY, JOB = '.training.job', os.environ.get('SLURM_JOB_ID') or os.environ.get('TORCHELASTIC_RUN_ID') or ''


def prepare_work_dir(cfg: Config, resume: str | None, overwrite: bool, is_main: bool) -> list[Path]:
    """Decides from where a training starts, and sets ``cfg.resume`` and ``cfg.load_from``.

    Args:
        cfg: the config, with its work dir.
        resume: a checkpoint, :data:`AUTO` for the newest whole one in the work dir, or None.
        overwrite: give up the checkpoints of an earlier training, or those later than the one to resume.
        is_main: whether this process is the one that says what is done.

    Returns:
        The files that are given up. :class:`BeginHook` removes them.

    Raises:
        UserError: two trainings would mix, or nothing can be resumed.
    """
    folder = checkpoint_folder(cfg)
    candidates = _checkpoints(cfg, folder)
    if overwrite and resume == AUTO:
        raise UserError('--overwrite starts anew and --resume goes on: give one of them')
    if resume is None:
        cfg.resume = False
        if candidates and not overwrite:
            raise UserError(f'{folder} holds checkpoints of an earlier training ({candidates[0][1].name} and others).\n'
                            '  To continue it: --resume. To remove them and start anew: --overwrite. To keep them: '
                            'another --work-dir')
        outdated = candidates
    elif resume == AUTO:
        newest, outdated = _newest(cfg, folder, [path for _, path in candidates], is_main), []
        cfg.resume = newest is not None
        if newest is not None:
            cfg.load_from = newest
    else:
        if '://' in resume:
            raise UserError(f'--resume takes a file, and {resume} is an address: download it first. load_from takes '
                            'addresses, to start a new training from the weights')
        check_resumable(Path(resume))
        cfg.resume, cfg.load_from = True, resume
        outdated = _later_than(Path(resume), candidates)
        if outdated and not overwrite:
            raise UserError(
                f'{folder} holds checkpoints of another or a later training ({outdated[0][1].name}), which would mix '
                f'with those of one that goes on from {resume}.\n  To remove them: --overwrite. To keep them: another '
                '--work-dir')
    return _given_up(cfg, folder, outdated)


class BeginHook(Hook):
    """Removes what an earlier training left, when the model is built and its weights are loaded, and notes the job."""

    priority = 'VERY_HIGH'

    def __init__(self, given_up: list[Path]):
        self.given_up = given_up
        self.first_iteration = 0

    def before_train(self, runner) -> None:
        self.first_iteration = runner.iter
        self._clean(runner)

    @master_only
    def _clean(self, runner) -> None:
        for path in self.given_up:
            path.unlink(missing_ok=True)
        if JOB:
            write_text(Path(runner.work_dir, STARTED_BY), JOB)


def is_of_this_job(work_dir: str | Path) -> bool:
    """Whether the job that starts this training again has begun the one in the work dir."""
    try:
        return bool(JOB) and Path(work_dir, STARTED_BY).read_text(errors='replace') == JOB
    except OSError:
        return False


def has_checkpoints(cfg: Config) -> bool:
    return bool(_checkpoints(cfg, checkpoint_folder(cfg)))


def checkpoint_folder(cfg: Config) -> Path:
    """Where mmengine's CheckpointHook writes: the work dir, or a folder of its name in ``out_dir``."""
    out_dir = (cfg.default_hooks.get('checkpoint') or {}).get('out_dir')
    # The runner makes the work dir absolute, and only then are they compared.
    work_dir = os.path.abspath(cfg.work_dir)
    if not out_dir or str(out_dir) == work_dir or '://' in str(out_dir):
        return Path(cfg.work_dir)
    return Path(out_dir, os.path.basename(work_dir))


@contextmanager
def only_training_in(*folders: str | Path) -> Iterator[None]:
    """Keeps other trainings out of the folders of a run. What a killed one leaves is no obstacle.

    Raises:
        UserError: another training runs in it.
    """
    with ExitStack() as held:
        for folder in dict.fromkeys(map(os.path.realpath, folders)):
            held.enter_context(_held(folder))
        yield


@contextmanager
def _held(folder: str) -> Iterator[None]:
    require_writable(folder)
    lock = FileLock(Path(folder, LOCK))
    holder = _holder(folder)
    try:
        lock.acquire(timeout=0 if _is_alive(holder) else SECONDS_TO_WAIT)
    except Timeout:
        holder = _holder(folder)
        raise UserError(f'another training runs in {folder}: process {holder.get("pid", "?")} on '
                        f'{holder.get("host", "another machine")}; wait for it, or choose another --work-dir') from None
    except NotImplementedError:
        yield  # a file system without locks
        return
    try:
        write_text(Path(folder, HOLDER), json.dumps(dict(pid=os.getpid(), host=socket.gethostname())))
        yield
    finally:
        Path(folder, HOLDER).unlink(missing_ok=True)
        lock.release()


def _holder(work_dir: str | Path) -> dict:
    try:
        found = json.loads(Path(work_dir, HOLDER).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_alive(holder: dict) -> bool:
    """Whether the process may still run, as those of other machines may."""
    if holder.get('host') != socket.gethostname():
        return bool(holder)
    try:
        os.kill(int(holder['pid']), 0)
    except (ProcessLookupError, KeyError, ValueError, TypeError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _checkpoints(cfg: Config, folder: Path) -> list[tuple[Step, Path]]:
    """Those of trainings, the newest first."""
    return next((found for each in _templates(cfg) if (found := files_like(folder, each))), [])


def _templates(cfg: Config) -> Sequence[str]:
    template = (cfg.default_hooks.get('checkpoint') or {}).get('filename_tmpl')
    return [template] if template else TEMPLATES


def _newest(cfg: Config, folder: Path, candidates: list[Path], is_main: bool) -> str | None:
    if not candidates:
        pointer = Path(cfg.work_dir, POINTER)
        if pointer.is_file() and (name := pointer.read_text(errors='replace').strip()):
            raise UserError(f'{pointer} names {name}, and there is no checkpoint in {folder}: put it back, or start '
                            'anew with --overwrite')
        if is_main:
            print(f'--resume: there is no checkpoint in {folder}, so the training starts from its beginning')
        return None
    path, problems = newest_whole(candidates)
    if is_main:
        for problem in problems:
            print(f'--resume: {problem}')
        print(f'--resume: goes on from {path}')
    return str(path)


def _later_than(resumed: Path, candidates: list[tuple[Step, Path]]) -> list[tuple[Step, Path]]:
    own = [step for step, path in candidates if path.resolve() == resumed.resolve()]
    return [(step, path) for step, path in candidates if not own or step > own[0]]


def _given_up(cfg: Config, folder: Path, outdated: list[tuple[Step, Path]]) -> list[Path]:
    if not outdated:
        return []
    first = min(step[0] for step, _ in outdated)
    best = [path for template in _templates(cfg) for step, path in best_files(folder, template) if step[0] >= first]
    kept = Path(cfg.load_from) if cfg.get('load_from') else None
    return [path for path in (*best, *(path for _, path in outdated), Path(cfg.work_dir, POINTER))
            if path.is_file() and not (kept is not None and kept.exists() and path.samefile(kept))]
