"""Time, memory and rate of one function: how fast the GPU computes it, not how fast the host asks for it."""

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.gpu.recording import Record
from benchmarks.operations import Step
from mmseg_attn.benchmark.memory import peak_memory

RUNS, WARMUP = 20, 3
# A backward counts 2.5 times the operations of its forward, which is the convention of FlashAttention's authors.
OF_FORWARD_AND_BACKWARD = 3.5
# Of the GPU's clock: half a millisecond or more.
HEAD_START = 1_000_000


def measure(record: Record, case: str, who: str, function: Callable, inputs: Sequence[Tensor], flops: float,
            training: bool, error: Callable[[Tensor], float] | None = None) -> None:
    """Adds a row with the median of :data:`RUNS`; one with the problem, where there is one.

    Args:
        record: where the row goes.
        case: what is computed.
        who: by what.
        function: tensors -> a tensor.
        inputs: what it is called with.
        flops: floating point operations of a forward; 0 for no rate.
        training: forward and backward, otherwise forward alone without gradients.
        error: of the output of a forward.
    """
    if record.is_over:
        return
    row = dict(case=case, who=who, mode='forward+backward' if training else 'forward')
    try:
        step = Step(function, list(inputs), training)
        out = step()
        if error is not None and not training:
            row['error'] = error(out)
        del out
        row |= _measured(record, step, flops * (OF_FORWARD_AND_BACKWARD if training else 1))
    except Exception as problem:
        text = str(problem).strip()
        row['problem'] = f'{type(problem).__name__}: {text.splitlines()[0][:160] if text else ""}'
    if record.on_gpu:
        torch.cuda.empty_cache()
    record.add(**row)
    print(' '.join(f'{key}={value:.4g}' if isinstance(value, float) else f'{key}={value}'
                   for key, value in row.items())[:240], flush=True)


def _measured(record: Record, step: Step, flops: float) -> dict[str, float]:
    for _ in range(WARMUP if record.on_gpu else 0):
        step.prepare()
        step()
    step.prepare()
    found = dict(mib=peak_memory(step, record.device) / 2**20)
    times = []
    for _ in range(RUNS if record.on_gpu else 1):
        step.prepare()
        times.append(_gpu_time(step) if record.on_gpu else _cpu_time(step))
    found |= dict(ms=statistics.median(times), spread=(max(times) - min(times)) / statistics.median(times))
    if flops:
        found['tflops'] = flops / found['ms'] / 1e9
    return found


def _gpu_time(step: Step) -> float:
    started, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    # While the GPU is busy with this, the host launches the kernels that are to be timed. A private name.
    if hasattr(torch.cuda, '_sleep'):
        torch.cuda._sleep(HEAD_START)
    started.record()
    step()
    ended.record()
    torch.cuda.synchronize()
    return started.elapsed_time(ended)


def _cpu_time(step: Step) -> float:
    started = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - started)
