"""Compiles what the launchers launch, for a GPU that need not be there. Run as a script, without Triton's interpreter.

Usage: compile_kernels.py CAPABILITY (80) SHARED_MEMORY (bytes). Prints a line for every kernel that fits.
"""

import sys

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import jit
from triton.runtime.driver import driver
from triton.runtime.errors import OutOfResources

from mmseg_attn.ops.triton.attention import attention_backward, attention_forward
from mmseg_attn.ops.triton.carafe import carafe_backward, carafe_forward
from mmseg_attn.ops.triton.message_passing import message_passing_backward, message_passing_forward

CAPABILITY, SHARED_MEMORY = map(int, sys.argv[1:])


class NoGPU:
    def get_current_device(self):
        return 0

    def get_current_stream(self, device=None):
        return 0

    def get_current_target(self):
        return GPUTarget('cuda', CAPABILITY, 32)


def compile_only(kernel, grid):
    def launch(*args, **kwargs):
        compiled = kernel.run(*args, grid=grid, warmup=True, **kwargs)
        if compiled.metadata.shared > SHARED_MEMORY:
            raise OutOfResources(compiled.metadata.shared, SHARED_MEMORY, 'shared memory')
        assert compiled.asm['cubin']
        print(compiled.metadata.name)
    return launch


def attention(dtype, d, e, n=200, exclude_itself=False):
    query, key, value = (torch.zeros(1, 2, n, width, dtype=dtype) for width in (d, d, e))
    out, lse = attention_forward(query, key, value, 1.0, exclude_itself)
    attention_backward(out, query, key, value, lse, lse, 1.0, exclude_itself)


def carafe(dtype, scale_factor, size=(5, 7), channels=16):
    x = torch.zeros(1, channels, *size, dtype=dtype)
    masks = torch.zeros(1, 9, *(scale_factor * side for side in size), dtype=dtype)
    out = carafe_forward(x, masks, 3, 1, scale_factor)
    carafe_backward(out, x, masks, 3, 1, scale_factor)


def message_passing(dtype, size=(5, 7), channels=32):
    x = torch.zeros(1, channels, *size, dtype=dtype)
    positions, weights = torch.zeros(1, 9, 2, *size), torch.zeros(1, 1, 9, *size, dtype=dtype)
    out = message_passing_forward(x, positions, weights)
    message_passing_backward(out, x, positions, weights)


if __name__ == '__main__':
    driver.set_active(NoGPU())
    jit.KernelInterface.__getitem__ = compile_only
    attention(torch.float16, 64, 512)
    attention(torch.bfloat16, 256, 256)
    attention(torch.float32, 64, 96, exclude_itself=True)
    attention(torch.float16, 300, 5, n=1)
    for dtype in (torch.float16, torch.float32):
        carafe(dtype, 2)
        message_passing(dtype)
    carafe(torch.bfloat16, 3, (1, 1), 1)
    message_passing(torch.bfloat16, (1, 1), 1)
