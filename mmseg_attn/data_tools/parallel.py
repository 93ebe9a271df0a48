"""Work spread over processes, with a progress bar."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mmseg_attn.common.errors import UserError


def available_cpus() -> int:
    """The CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1


def run_parallel(function: Callable, items: Iterable, nproc: int, description: str, total: int) -> Iterator:
    """Yields ``function(item)`` of every item, in the order in which they are done.

    Args:
        function: of a module, so that another process can import it.
        items: taken one after the other, few ahead of the work, so that they may be large.
        nproc: number of processes; with 1 all is done in this one.
        description: stands beside the progress bar.
        total: number of items.

    Raises:
        UserError: a process was killed.
    """
    if nproc == 1:
        yield from _shown(map(function, items), description, total)
        return
    items = iter(items)
    executor = ProcessPoolExecutor(nproc, initializer=_leave_interrupts_to_the_parent)
    try:
        # Before the progress bar starts a thread, because a fork copies the locks that threads hold.
        pending = {executor.submit(function, item) for item in islice(items, 4 * nproc)}
        yield from _shown(_finish(executor, function, items, pending), description, total)
    except BrokenProcessPool as error:
        raise UserError('a process was killed, probably for want of memory: take a smaller --nproc') from error
    finally:
        executor.shutdown(cancel_futures=True)


def _shown(results: Iterable, description: str, total: int) -> Iterator:
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        task = progress.add_task(description, total=total)
        for result in results:
            progress.advance(task)
            yield result


def _finish(executor: ProcessPoolExecutor, function: Callable, items: Iterator, pending: set) -> Iterator:
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        pending |= {executor.submit(function, item) for item in islice(items, len(done))}
        yield from (future.result() for future in done)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
