"""Compiles what the launchers launch, for a GPU that need not be there. Run as a script, without Triton's interpreter.

Usage: compile_kernels.py CAPABILITY (80) SHARED_MEMORY (bytes). Prints a line for every kernel that is compiled,
however often it is launched: its name if it fits, otherwise 'too large'.
"""

import sys

import torch
from triton.runtime.errors import OutOfResources

from mmseg_attn.ops.triton.attention import attention_backward, attention_forward
from mmseg_attn.ops.triton.carafe import carafe_backward, carafe_forward
from mmseg_attn.ops.triton.launching import LAUNCH_OPTIONS
from mmseg_attn.ops.triton.message_passing import message_passing_backward, message_passing_forward
from mmseg_attn.ops.triton.probe import _probe_kernel
from tests.ops.triton.ahead_of_time import compile_instead_of_launching

CAPABILITY, SHARED_MEMORY = map(int, sys.argv[1:])
# Odd ones, multiples of 16 and ones, for each of which Triton would have a kernel of its own.
SIZES = [(5, 7), (16, 7), (5, 16), (16, 16), (1, 7), (5, 1)]
NUM_PIXELS = [(200, 1), (208, 2), (193, 3)]

known = set()


def compiled(kernel):
    too_large = kernel.metadata.shared > SHARED_MEMORY
    if kernel.hash not in known:
        known.add(kernel.hash)
        assert kernel.asm['cubin']
        print('too large' if too_large else kernel.metadata.name)
    if too_large:
        raise OutOfResources(kernel.metadata.shared, SHARED_MEMORY, 'shared memory')


def attention(dtype, d, e, n=200, batch=2, exclude_itself=False):
    query, key, value = (torch.zeros(1, batch, n, width, dtype=dtype) for width in (d, d, e))
    out, lse = attention_forward(query, key, value, 1.0, exclude_itself)
    attention_backward(out, query, key, value, lse, lse, 1.0, exclude_itself)


def carafe(dtype, scale_factor, size, channels=16):
    x = torch.zeros(1, channels, *size, dtype=dtype)
    masks = torch.zeros(1, 9, *(scale_factor * side for side in size), dtype=dtype)
    out = carafe_forward(x, masks, 3, 1, scale_factor)
    carafe_backward(out, x, masks, 3, 1, scale_factor)


def message_passing(dtype, size, channels=32):
    x = torch.zeros(1, channels, *size, dtype=dtype)
    positions, weights = torch.zeros(1, 9, 2, *size), torch.zeros(1, 1, 9, *size, dtype=dtype)
    out = message_passing_forward(x, positions, weights)
    message_passing_backward(out, x, positions, weights)


if __name__ == '__main__':
    compile_instead_of_launching(CAPABILITY, compiled, SHARED_MEMORY)
    _probe_kernel[1,](0, **LAUNCH_OPTIONS)
    for n, batch in NUM_PIXELS:
        attention(torch.float16, 64, 512, n, batch)
    attention(torch.bfloat16, 257, 256)
    attention(torch.float32, 64, 96, exclude_itself=True)
    attention(torch.float16, 300, 5, n=1)
    for size in SIZES:
        carafe(torch.float32, 2, size)
        message_passing(torch.float16, size)
    carafe(torch.bfloat16, 3, (1, 1), 1)
    message_passing(torch.bfloat16, (1, 1), 1)
