"""What the signals do with which users, launchers and schedulers end a command."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Slurm sends SIGUSR1 before its limit, if it is asked to. Windows has none.
SIGNALS = tuple(getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGUSR1') if hasattr(signal, name))
# Seconds within which a signal is the same one: a process group and a launcher each pass it on.
SAME = 1.0

_requested = 0


class Interrupted(SystemExit):
    """Ends the command after a signal, with the code that schedulers expect: 128 and its number."""

    def __init__(self, signum: int, reached: str = '', saved: bool = False):
        super().__init__(128 + signum)
        self.signum = signum
        self.reached = reached
        self.saved = saved

    def __str__(self) -> str:
        return f'Stopped by {signal.Signals(self.signum).name}{self.reached}'


def requested() -> int:
    """The signal that has asked this process to stop, 0 where none has."""
    return _requested


@contextmanager
def deferring_signals() -> Iterator[None]:
    """Inside, the first signal waits in :func:`requested`, and the second ends the process at once."""
    global _requested
    _requested = 0
    with _handling(_keep):
        yield


@contextmanager
def raising_signals() -> Iterator[None]:
    """Inside, the first signal raises :class:`Interrupted`, and the second ends the process at once."""
    with _handling(_raise):
        yield


def _keep(signum: int) -> None:
    global _requested
    _requested = signum


def _raise(signum: int) -> None:
    raise Interrupted(signum)


@contextmanager
def _handling(first: Callable[[int], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets the main thread alone handle signals
        return
    since = None

    def handle(signum: int, frame: object) -> None:
        nonlocal since
        if since is None:
            since = time.monotonic()
            first(signum)
        elif time.monotonic() - since > SAME:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)

    # A shell starts a command in the background with SIGINT ignored: Ctrl+C is not meant for it.
    handled = [s for s in SIGNALS if s != signal.SIGINT or signal.getsignal(s) is not signal.SIG_IGN]
    previous = {signum: signal.signal(signum, handle) for signum in handled}
    try:
        yield
    except Interrupted:
        # The code is decided. Slurm ends all tasks with SIGTERM when the first has ended, which would change it.
        for signum in {*handled} - {signal.SIGINT}:
            previous[signum] = signal.SIG_IGN
        raise
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
