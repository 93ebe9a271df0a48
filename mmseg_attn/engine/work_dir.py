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

from .checkpoint_files import TEMPLATES, best_files, check_resumable, files_like, newest_whole
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
    elsewhere = _named_elsewhere(cfg, folder)
    if elsewhere is not None and resume in (None, AUTO) and not overwrite:
        raise UserError(f'{cfg.work_dir} belongs to a training whose checkpoints are in another folder ({elsewhere}).\n'
                        '  To continue it: --resume with the out_dir of before. To start anew: another --work-dir, or '
                        '--overwrite, which leaves that folder alone')
    if overwrite and resume == AUTO:
        raise UserError('--overwrite starts anew and --resume goes on: give one of them')
    if resume is None:
        cfg.resume = False
        if candidates and not overwrite:
            raise UserError(f'{folder} holds checkpoints of an earlier training ({candidates[0].name} and others).\n'
                            '  To continue it: --resume. To remove them and start anew: --overwrite. To keep them: '
                            'another --work-dir')
        outdated = candidates
    elif resume == AUTO:
        newest, outdated = _newest(cfg, folder, candidates, is_main), []
        cfg.resume = newest is not None
        if newest is not None:
            cfg.load_from = newest
    else:
        if '://' in resume:
            raise UserError(f'--resume takes a file, and {resume} is an address: download it first. load_from takes '
                            'addresses, to start a new training from the weights')
        check_resumable(Path(resume))
        cfg.resume, cfg.load_from = True, resume
        outdated = _later_than(cfg, Path(resume), candidates)
        if outdated and not overwrite:
            raise UserError(
                f'{folder} holds checkpoints of another or a later training ({outdated[0].name}), which would mix '
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


def _checkpoints(cfg: Config, folder: Path) -> list[Path]:
    """Those of trainings, of whatever names: first those that last_checkpoint speaks of, each kind the newest first."""
    kinds = [[path for _, path in files_like(folder, template)] for template in _templates(cfg)]
    named = _named_by_pointer(cfg)
    if named is not None and _is_in(named, folder) and not any(_is_among(named, kind) for kind in kinds):
        kinds.append([folder / named.name])
    if named is not None:
        kinds.sort(key=lambda kind: not _is_among(named, kind))
    return list(dict.fromkeys(path for kind in kinds for path in kind))


def _named_by_pointer(cfg: Config) -> Path | None:
    """The file that last_checkpoint names, where it is there."""
    try:
        name = Path(cfg.work_dir, POINTER).read_text(errors='replace').strip()
        path = Path(os.path.normpath(Path(cfg.work_dir, name)))
        return path if name and path.is_file() else None
    except (OSError, ValueError):
        return None


def _named_elsewhere(cfg: Config, folder: Path) -> Path | None:
    """The other folder in which the checkpoints are of which last_checkpoint speaks."""
    named = _named_by_pointer(cfg)
    # mmengine writes whole paths: in a copy of a work dir they name the original.
    here = named is None or _is_in(named, folder) or (folder / named.name).is_file()
    return None if here else named.parent


def _is_in(path: Path, folder: Path) -> bool:
    return path.parent.resolve() == folder.resolve()


def _is_among(path: Path, paths: list[Path]) -> bool:
    return any(path.samefile(other) for other in paths)


def _templates(cfg: Config) -> Sequence[str]:
    template = (cfg.default_hooks.get('checkpoint') or {}).get('filename_tmpl')
    return list(dict.fromkeys([*([template] if template else []), *TEMPLATES]))


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


def _later_than(cfg: Config, resumed: Path, candidates: list[Path]) -> list[Path]:
    """Those that are not behind ``resumed`` in the same training."""
    for template in _templates(cfg):
        kind = files_like(resumed.parent, template)
        own = [step for step, path in kind if path.samefile(resumed)]
        if own:
            earlier = {path.resolve() for step, path in kind if step <= own[0]}
            return [path for path in candidates if path.resolve() not in earlier]
    return [path for path in candidates if not path.samefile(resumed)]


def _given_up(cfg: Config, folder: Path, outdated: list[Path]) -> list[Path]:
    steps = {template: [step for step, path in files_like(folder, template) if path in outdated]
             for template in _templates(cfg)}
    best = [path for template, found in steps.items() if found
            for step, path in best_files(folder, template) if step[0] >= min(found)[0]]
    pointer = [Path(cfg.work_dir, POINTER)] if outdated or _named_elsewhere(cfg, folder) else []
    kept = Path(cfg.load_from) if cfg.get('load_from') else None
    return [path for path in (*best, *outdated, *pointer)
            if path.is_file() and not (kept is not None and kept.exists() and path.samefile(kept))]
