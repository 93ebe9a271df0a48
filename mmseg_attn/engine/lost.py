"""One message for what a training ends with when another of its processes is killed."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import torch.distributed as dist

from mmseg_attn.common.errors import UserError

WORKER = 'DataLoader worker (pid'
# What gloo says. NCCL and the store have errors of their own.
CONNECTION = 'Connection closed by peer', 'Connection reset by peer', 'Broken pipe'


@contextmanager
def naming_lost_processes() -> Iterator[None]:
    """Raises a UserError where PyTorch tells that a process is gone from which data or gradients were to come."""
    try:
        yield
    except (RuntimeError, EOFError, OSError) as error:
        try:
            message = _explain(error)
        except RuntimeError as worker:  # PyTorch tells of a killed worker from a signal handler, so anywhere
            message = _explain(worker)
        if message is None:
            raise
        raise UserError(message) from error


def _explain(error: Exception) -> str | None:
    said = f'{type(error).__name__}: {error}'.splitlines()[0].split('. ')[0].strip(' :')
    if str(error).startswith(WORKER) or _came_while_receiving(error):
        return (f'a process that loads images has ended ({said}).\n'
                '  Killed: too little memory, so lower num_workers of the dataloaders, or the size of the images.\n'
                '  Bus error: too little shared memory (in Docker: --shm-size). Go on with --resume.')
    if dist.is_available() and dist.is_initialized() and (
            isinstance(error, dist.DistError) or any(text in said for text in CONNECTION)):
        return (f'another process of this training has ended, and this one cannot go on without it ({said}).\n'
                '  The reason is what that process printed, or what its launcher says of it. Go on with --resume.')
    return None


def _came_while_receiving(error: Exception) -> bool:
    """Whether a tensor could not be fetched from the process that had made it."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get('__name__') == 'torch.multiprocessing.reductions' for frame, _ in frames)
