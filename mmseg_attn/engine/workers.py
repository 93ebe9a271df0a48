"""Processes that load images outlive the signals that are meant for the training."""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial

from mmengine.runner import Runner

from .signals import SIGNALS


def guard_workers(runner: Runner) -> None:
    """Lets the workers of all loaders that ``runner`` builds ignore signals.

    A signal to a process group or a cgroup reaches them too. They would end at once, and the training with them, before
    it could save. The loader is changed and not its config: mmengine writes that to the work dir, and its own
    ``worker_init_fn`` knows the seed.
    """
    build = runner.build_dataloader

    def build_guarded(*args, **kwargs):
        loader = build(*args, **kwargs)
        loader.worker_init_fn = partial(_start, then=loader.worker_init_fn)
        return loader

    runner.build_dataloader = build_guarded


def _start(worker_id: int, then: Callable[[int], None] | None) -> None:
    for signum in SIGNALS:
        if signum != signal.SIGTERM:
            signal.signal(signum, signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):  # not on macOS and Windows
        # Blocked and not ignored, because PyTorch and multiprocessing end their workers by SIGTERM, and wait for them.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_the_trainer_says, daemon=True).start()
    if then is not None:
        then(worker_id)


def _end_when_the_trainer_says() -> None:
    trainer = os.getppid()
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
        pass
    os._exit(0)
