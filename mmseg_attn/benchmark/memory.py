"""The peak of the memory that a computation needs beyond what is allocated before it."""

import gc
import json
import sys
import tempfile
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import torch

CONVENTION = ("peak of PyTorch's allocator beyond module, input and gradients held before the run; on the CPU without "
              'what oneDNN and MKL allocate by themselves for packing and for scratch')
OUT_OF_MEMORY = 'out of memory'


def peak_memory(run: Callable[[], object], device: torch.device) -> int:
    """Bytes by which what PyTorch has allocated grows at most during ``run()``, temporaries inside operators included.

    On the CPU every allocation and release is recorded by PyTorch's profiler, so the number is exact and the same every
    time. It does not see what libraries allocate without PyTorch (oneDNN and MKL for packing and for scratch), nor a
    release of what was allocated before. On CUDA it is the counter of the caching allocator, workspaces of cuDNN
    included.
    """
    if device.type == 'cuda':
        gc.collect()
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = [event for event in _trace(profiler) if event.get('name') == '[memory]']
    events.sort(key=lambda event: event['ts'])
    return max(accumulate((event['args']['Bytes'] for event in events), initial=0))


def _trace(profiler: torch.profiler.profile) -> list[dict]:
    """The events of a profile. The file is the only way to those of single allocations that is not private."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'trace.json')
        profiler.export_chrome_trace(str(path))
        return json.loads(path.read_text())['traceEvents']


def is_out_of_memory(error: BaseException) -> bool:
    text = str(error)
    return (isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or 'not enough memory' in text
            or "can't allocate memory" in text or 'could not create a memory' in text)


def limit_memory() -> None:
    """Lets an allocation fail that is beyond the memory free now; Linux would promise it and end the process later.

    Limits of a container or a Slurm job that are lower than the machine's memory are not known to it.
    """
    if sys.platform != 'linux':
        return
    import resource
    available = _kibibytes('/proc/meminfo', 'MemAvailable')
    held = _kibibytes('/proc/self/status', 'VmData')
    limit = 1024 * (available + held)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _kibibytes(file: str, name: str) -> int:
    return next(int(line.split()[1]) for line in Path(file).read_text().splitlines() if line.startswith(f'{name}:'))
