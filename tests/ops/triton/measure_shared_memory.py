"""Compiles the attention kernels with all large tiles. Run as a script, without Triton's interpreter.

Usage: measure_shared_memory.py CAPABILITY (80). Prints a line for every kernel: what it has of shared memory in bytes,
and what tiles.shared_memory says it needs.
"""

import contextlib
import sys

import torch

from mmseg_attn.ops.triton import attention
from mmseg_attn.ops.triton.tiles import FORWARD, LOGITS_BACKWARD, forward_shape, logits_shape, shared_memory
from tests.ops.triton.ahead_of_time import compile_instead_of_launching

# Both are loaded whole by some tiles and in pieces by others.
WIDTHS = 64, 512


class BothMeasuredError(Exception):
    pass


def measure(capability, dtype, forward, logits):
    """Of the forward, and of the backward of the queries. The other kernels differ by a few hundred bytes."""
    measured = []

    def compiled(kernel):
        measured.append(kernel.metadata.shared)
        if len(measured) == 2:
            raise BothMeasuredError

    compile_instead_of_launching(capability, compiled)
    size = dtype.itemsize
    attention.FORWARD, attention.LOGITS_BACKWARD = {size: (forward,)}, {size: (logits,)}
    query, key, value = (torch.zeros(1, 1, 256, width, dtype=dtype) for width in (WIDTHS[0], *WIDTHS))
    out, lse = attention.attention_forward(query, key, value, 1.0)
    with contextlib.suppress(BothMeasuredError):
        attention.attention_backward(out, query, key, value, lse, lse, 1.0)
    for shared, tiles, shape_of in zip(measured, (forward, logits), (forward_shape, logits_shape), strict=True):
        print(shared, shared_memory(tiles, shape_of(tiles, *WIDTHS, size), size, capability // 10))


if __name__ == '__main__':
    for dtype in torch.bfloat16, torch.float32:
        for pair in zip(FORWARD[dtype.itemsize], LOGITS_BACKWARD[dtype.itemsize], strict=True):
            if min(tiles.rows for tiles in pair) >= 64:
                measure(int(sys.argv[1]), dtype, *pair)
