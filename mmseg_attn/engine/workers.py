"""Processes that load images: they outlive the signals for the training, and end when they cannot send a batch."""

import os
import signal
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.queues import Queue

import torch.multiprocessing
from mmengine.runner import Runner

from mmseg_attn.common.config import known_channels
from mmseg_attn.common.errors import UserError
from mmseg_attn.datasets.reading_errors import name_files_in_errors

from .signals import SIGNALS


def guard_workers(runner: Runner) -> None:
    """Prepares the workers of all loaders that ``runner`` builds: they ignore signals, and end when they cannot send.

    A signal to a process group or a cgroup reaches them too. They would end at once, and the training with them, before
    it could save. The loader is changed and not its config: mmengine writes that to the work dir, and its own
    ``worker_init_fn`` knows the seed.

    A batch that a worker fails to send is lost, and the trainer would wait for it for ever.

    Raises:
        UserError: by ``runner.build_dataloader``; workers have no place for the sockets through which they send.
    """
    build = runner.build_dataloader

    def build_guarded(*args, **kwargs):
        try:
            loader = build(*args, **kwargs)
        except (NotImplementedError, ValueError, AssertionError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f'a data loader of the config cannot be built ({type(error).__name__}): {error}') from error
        name_files_in_errors(loader.dataset, known_channels(runner.cfg.model))
        if loader.num_workers > 0:
            _check_sockets()
        loader.worker_init_fn = partial(_start, then=loader.worker_init_fn)
        return loader

    runner.build_dataloader = build_guarded


def _check_sockets() -> None:
    if torch.multiprocessing.get_sharing_strategy() != 'file_descriptor':
        return
    # As multiprocessing names them, in the worker, where an error is too late.
    with tempfile.TemporaryDirectory(prefix='pymp-') as folder, socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(os.path.join(folder, 'listener-12345678'))
        except OSError as error:
            raise UserError(
                f'processes that load images cannot make their sockets in the temporary folder '
                f'{tempfile.gettempdir()} ({error}).\n  Set TMPDIR to a folder with a short path on a local disk, or '
                'num_workers=0 in the dataloaders.') from error


def _start(worker_id: int, then: Callable[[int], None] | None) -> None:
    for signum in SIGNALS:
        if signum != signal.SIGTERM:
            signal.signal(signum, signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):  # not on macOS and Windows
        # Blocked and not ignored, because PyTorch and multiprocessing end their workers by SIGTERM, and wait for them.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_when_the_trainer_says, daemon=True).start()
    Queue._on_queue_feeder_error = staticmethod(_end_with_traceback)
    if then is not None:
        then(worker_id)


def _end_with_traceback(error: Exception, batch: object) -> None:
    """What multiprocessing calls in the thread that sends; its own prints the traceback and goes on."""
    traceback.print_exception(error)
    sys.stderr.flush()
    os._exit(1)


def _end_when_the_trainer_says() -> None:
    trainer = os.getppid()
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
        pass
    os._exit(0)
