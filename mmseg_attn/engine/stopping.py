"""Stops a training after a signal: all processes behind the same iteration, with one checkpoint."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, is_main_process
from mmengine.hooks import CheckpointHook, EMAHook, Hook
from mmengine.runner import EpochBasedTrainLoop, Runner

from . import launched
from .batch_size import has_updated
from .epochs import ResumeEpochHook
from .known_errors import naming_known_errors
from .launch import end_launch
from .lost import naming_lost_processes
from .signals import Interrupted, deferring_signals, raising_signals, requested
from .workers import guard_workers

NOTHING_SAVED = 'nothing is saved, because the config has no CheckpointHook'


@contextmanager
def stoppable(runner: Runner, go_on: str) -> Iterator[None]:
    """Inside, ``runner.train()`` saves and ends when a signal comes.

    Args:
        runner: built, and not yet run.
        go_on: what to type to continue, which is printed.

    Raises:
        SystemExit: a signal has ended the training; the code is that of :class:`Interrupted`.
        UserError: another process of the training is gone.
    """
    guard_workers(runner)
    runner.register_hook(ResumeEpochHook())
    runner.register_hook(StopOnSignalHook())
    try:
        with deferring_signals(), naming_lost_processes(), naming_known_errors():
            if runner.cfg.get('launcher', 'none') != 'none':
                launched.announce()
            yield
    except Interrupted as stop:
        if is_main_process():
            print(f'\n{stop}.' + (f' Go on with:\n  {go_on}' if stop.saved else ''), flush=True)
        end_launch()
        raise SystemExit(launched.exit_code(stop)) from None


@contextmanager
def endable(runner: Runner) -> Iterator[None]:
    """Inside, ``runner.test()`` ends at once when a signal comes: there is nothing to save. See :func:`stoppable`."""
    guard_workers(runner)
    try:
        with raising_signals(), naming_lost_processes(), naming_known_errors():
            if runner.cfg.get('launcher', 'none') != 'none':
                launched.announce()
            yield
    except Interrupted as stop:
        if is_main_process():
            print(f'\n{stop}.', flush=True)
        raise SystemExit(launched.exit_code(stop)) from None


class StopOnSignalHook(Hook):
    """Saves a checkpoint and raises :class:`Interrupted` after the iteration in which a signal came.

    A validation is left where it is.

    All processes have to leave at the same place, or one would wait for ever for another. So they ask each other, by a
    collective operation. None can wait in vain for that one either: all of them reach it, in the same order among all
    other collectives. In a training they take the same number of iterations, whatever the data. In a validation a
    process may have fewer batches than another, and behind the last it waits in the collective that gathers the
    results; so at its beginning they agree on the smallest number, and ask only up to there.

    Args:
        interval: iterations from one question to the next where there are several processes: each waits for the GPU.
    """

    # After the hook that saves checkpoints: its own for this iteration serves as well.
    priority = 'LOWEST'

    def __init__(self, interval: int = 5):
        self.interval = interval
        self.signum = 0
        self.common_batches = 0

    def after_train_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        self._ask(runner.iter + 1)
        self._stop_if_asked(runner, runner.iter + 1)

    def before_val_epoch(self, runner) -> None:
        try:
            batches = len(runner.val_dataloader)
        except TypeError:  # an iterable data set has no length
            batches = 0
        self.common_batches = _agree(batches, 'min')

    def after_val_iter(self, runner, batch_idx: int, data_batch: dict | None = None,
                       outputs: list | None = None) -> None:
        if batch_idx < self.common_batches:
            self._ask(batch_idx + 1)
            self._stop_if_asked(runner, runner.iter, validating=True)

    def _ask(self, number: int) -> None:
        if number % (self.interval if get_world_size() > 1 else 1) == 0:
            self.signum = self.signum or _agree(requested(), 'max')

    def _stop_if_asked(self, runner, iteration: int, validating: bool = False) -> None:
        # A checkpoint does not hold gradients that are still being accumulated.
        if not self.signum or not has_updated(runner.optim_wrapper):
            return
        if validating:
            _swap_back(runner)
        saved = _save(runner, iteration)
        runner.call_hook('after_run')
        # The first process that ends makes Slurm end the others, and one of them is still writing.
        barrier()
        where = 'in the validation after' if validating else 'after'
        raise Interrupted(self.signum, f' {where} iteration {iteration} of {runner.max_iters}; '
                          + (f'the checkpoint is {saved}' if saved else NOTHING_SAVED), saved is not None)


def _agree(number: int, operation: str) -> int:
    agreed = torch.tensor(number)
    all_reduce(agreed, operation)
    return int(agreed)


def _swap_back(runner) -> None:
    """Undoes what mmengine's EMAHook does for the time of a validation, where it swaps the weights for the averages."""
    for hook in runner.hooks:
        if isinstance(hook, EMAHook):
            hook.after_val_epoch(runner)


def _save(runner, iteration: int) -> str | None:
    """Saves a checkpoint behind ``iteration``, unless there is one already; where it is."""
    hook = next((h for h in runner.hooks if isinstance(h, CheckpointHook)), None)
    if hook is None:
        return None
    step = _step(runner, iteration) if hook.by_epoch else iteration
    path = hook.file_backend.join_path(hook.out_dir, hook.filename_tmpl.format(step))
    if hook.last_ckpt != path:
        hook._save_checkpoint_with_step(runner, step, meta=dict(epoch=runner.epoch, iter=iteration))
    return path


def _step(runner, iteration: int) -> int | str:
    """What the name of a checkpoint has in place of the number of epochs."""
    if isinstance(runner.train_loop, EpochBasedTrainLoop) and iteration == runner.epoch * len(runner.train_dataloader):
        return runner.epoch
    return f'{runner.epoch}_iter_{iteration}'
