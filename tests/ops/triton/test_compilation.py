"""The interpreter neither checks types as the compiler does nor knows the limits of a GPU."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch

pytestmark = [pytest.mark.slow, pytest.mark.skipif(torch.version.hip is not None, reason='compiles for NVIDIA')]


def _output(script, *arguments, cache):
    environment = {**os.environ, 'TRITON_INTERPRET': '0', 'TRITON_CACHE_DIR': str(cache),
                   'PYTHONPATH': os.pathsep.join([str(Path(__file__).parents[3]), *filter(None, sys.path)])}
    command = [sys.executable, Path(__file__).with_name(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(('capability', 'shared_memory'), [(86, 101376), (90, 232448)])
def test_every_kernel_compiles_once_and_fits(capability, shared_memory, tmp_path):
    """Of attention for four widths; of the others for two numbers of channels, the two that must know whether the width
    is a multiple of 16 also for a width that is, and for 1."""
    assert Counter(_output('compile_kernels.py', capability, shared_memory, cache=tmp_path)) == {
        '_probe_kernel': 1, '_logits_backward_kernel': 2 * 4, '_value_backward_kernel': 4,
        '_forward_kernel': 4 + 2 + 4, '_input_backward_kernel': 4 + 2, '_masks_backward_kernel': 2,
        '_taps_backward_kernel': 2}


@pytest.mark.parametrize('capability', [86, 90])
def test_the_need_of_shared_memory_is_known_beforehand(capability, tmp_path):
    """An error too many compiles a kernel to throw it away; one too few takes smaller tiles than would fit."""
    lines = _output('measure_shared_memory.py', capability, cache=tmp_path)
    assert len(lines) == 2 * (4 + 2)
    for line in lines:
        measured, needed = map(int, line.split())
        # What is far below the least that a GPU has need not be exact.
        assert measured <= needed <= max(1.25 * measured, 64 * 1024)
