"""The peak of memory is exact on the CPU: counted by hand, in tensors of 2^16 float32."""

import subprocess
import sys

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from mmseg_attn.benchmark.memory import is_out_of_memory, peak_memory
from tests.tools.command import environment

NUMBER = 2**16
CPU = torch.device('cpu')


def tensors(run) -> float:
    return peak_memory(run, CPU) / (4 * NUMBER)


A, B = torch.randn(256, 256), torch.randn(256, 256)


@pytest.mark.parametrize(('run', 'expected'), [
    (lambda: A + B, 1), (lambda: A + B + A, 2), (lambda: A.clone().add_(B), 1), (lambda: A.softmax(-1), 1),
    (lambda: A.softmax(0), 1), (lambda: A.T @ B, 1), (lambda: A[:128], 0), (lambda: torch.cat([A, B]), 2),
    (lambda: A.double(), 2), (lambda: A.exp().sin().cos(), 2)])
def test_without_gradients(run, expected):
    assert tensors(run) == expected


def exponentials(x, number=4):
    for _ in range(number):
        x = x.exp()
    return x


@pytest.mark.parametrize(('function', 'expected'), [
    # Each exp keeps its result; and the gradient.
    (lambda x: exponentials(x, 8), 9),
    # Four computed again, the input of their half, and the gradient.
    (lambda x: checkpoint(exponentials, checkpoint(exponentials, x, use_reentrant=False), use_reentrant=False), 6)])
def test_with_gradients(function, expected):
    x = torch.full((NUMBER,), -1.0, requires_grad=True)

    def run():
        x.grad = None
        function(x).sum().backward()

    run()
    x.grad = None
    assert tensors(run) == pytest.approx(expected, abs=0.05)
    x.grad = None
    first = peak_memory(run, CPU)
    x.grad = None
    assert peak_memory(run, CPU) == first


def test_what_is_released_before_the_peak_does_not_count():
    def run():
        for _ in range(5):
            A + B
        return A + B

    assert tensors(run) == 1


@pytest.mark.parametrize('run', [lambda: torch.empty(2**50), lambda: bytearray(2**60)])
def test_no_memory(run):
    with pytest.raises((RuntimeError, MemoryError)) as error:
        run()
    assert is_out_of_memory(error.value)
    assert not is_out_of_memory(RuntimeError('mat1 and mat2 shapes cannot be multiplied'))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='Linux only')
def test_an_allocation_beyond_the_machine_fails():
    code = '''
import resource, torch
from mmseg_attn.benchmark.memory import is_out_of_memory, limit_memory
limit_memory()
limit = resource.getrlimit(resource.RLIMIT_DATA)[0]
torch.empty(2**20)
try:
    torch.empty(limit, dtype=torch.uint8)
except RuntimeError as error:
    print(is_out_of_memory(error))
'''
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=environment())
    assert run.stdout == 'True\n', run.stderr
