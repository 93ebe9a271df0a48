"""Latencies of several computations side by side, on a machine that may have other work."""

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from .step import Step


def interleaved_times(steps: dict[str, Step], rounds: int, device: torch.device, seed: int = 0,
                      after_round: Callable[[], None] = lambda: None) -> dict[str, list[float]]:
    """Milliseconds of every step in every round. In a round each runs once, in an order drawn anew.

    So what slows the machine down for a while meets all of them.

    Args:
        steps: already warm.
        rounds: how many.
        device: where they run. On CUDA the time is that between two events on the stream.
        seed: of the order.
        after_round: called after each round.

    Returns:
        name -> a time for each round.
    """
    times = {name: [] for name in steps}
    order = random.Random(seed)
    measure = _cuda_time if device.type == 'cuda' else _cpu_time
    with _garbage_only_between_runs():
        for _ in range(rounds):
            for name in order.sample(list(steps), len(steps)):
                steps[name].prepare()
                gc.collect()
                times[name].append(measure(steps[name], device))
            after_round()
    return times


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """First quartile, median and third quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    return tuple(statistics.quantiles(values, n=4, method='inclusive'))


def ratio(times: list[float], others: list[float]) -> float:
    """How many times longer ``times`` are than ``others``: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def _cpu_time(step: Step, _: torch.device) -> float:
    started = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - started)


def _cuda_time(step: Step, device: torch.device) -> float:
    with torch.cuda.device(device):
        started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        started.record()
        step()
        ended.record()
        torch.cuda.synchronize()
        return started.elapsed_time(ended)


@contextmanager
def _garbage_only_between_runs() -> Iterator[None]:
    """No collection inside a run; what exists already is set aside, so that those between runs are quick."""
    enabled = gc.isenabled()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()
