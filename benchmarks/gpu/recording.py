"""A line of JSON for every check and every measurement, written at once: what is killed leaves what it had."""

import json
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from mmseg_attn.benchmark.memory import is_out_of_memory

# After these nothing more can be computed in this process.
LOST = 'device-side assert', 'illegal memory', 'misaligned address', 'unspecified launch failure'


class Record:
    """A file of lines, and the time that is left for more.

    Args:
        path: lines are appended.
        device: 'cpu', 'cuda' or 'cuda:1'.
        budget: seconds from now.
    """

    def __init__(self, path: Path, device: str, budget: float):
        self.file = path.open('a')
        self.device = torch.device(device)
        self.deadline = time.monotonic() + budget
        self.checked = self.skipped = 0
        self.failed: list[str] = []

    @property
    def on_gpu(self) -> bool:
        return self.device.type == 'cuda'

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.deadline

    def out_of_time(self) -> bool:
        """Whether no time is left for a check and what it needs; it then counts as left out, with all that follow."""
        self.skipped += self.is_over
        return self.is_over

    def add(self, **row) -> None:
        self.file.write(json.dumps(row) + '\n')
        self.file.flush()

    def check(self, name: str, function: Callable[[], float | None], limit: float | None = None) -> None:
        """Right if ``function`` returns an error of at most ``limit``, or None, and raises nothing."""
        if self.out_of_time():
            return
        torch.manual_seed(0)
        started, row = time.monotonic(), dict(check=name)
        try:
            error = function()
            if self.on_gpu:
                torch.cuda.synchronize(self.device)
            row |= dict(error=error, limit=limit, ok=error is None or error <= limit)
        except Exception as problem:
            # A smaller GPU is no fault of what is checked.
            row |= dict(ok=None if is_out_of_memory(problem) else False, problem=_described(problem))
        self.add(**row, seconds=round(time.monotonic() - started, 2))
        if row['ok'] is None:
            self.skipped += 1
            return
        self.checked += 1
        if not row['ok']:
            self.failed.append(name)
            print('FAILED', json.dumps(row)[:400], flush=True)
        if any(text in row.get('problem', '') for text in LOST):
            print('The GPU takes nothing more from this process; the rest of it is left out.')
            print(self.summary(), flush=True)
            os._exit(3)  # a normal end would wait for the GPU

    def summary(self) -> str:
        return f'{self.checked} checks, {len(self.failed)} failed, {self.skipped} left out for lack of time or memory'


def _described(problem: Exception) -> str:
    frames = [frame for frame in traceback.extract_tb(problem.__traceback__) if 'mmseg_attn' in frame.filename]
    place = f' at {"/".join(Path(frames[-1].filename).parts[-3:])}:{frames[-1].lineno}' if frames else ''
    return f'{type(problem).__name__}: {str(problem)[:500]}{place}'
