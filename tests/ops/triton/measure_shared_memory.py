"""Compiles the attention kernels with all tiles. Run as a script, without Triton's interpreter.

Usage: measure_shared_memory.py CAPABILITY (80). Prints a line for every kernel: what it has of shared memory in bytes,
and what tiles.shared_memory says it needs.
"""

import sys

import torch

from mmseg_attn.ops.triton import attention
from mmseg_attn.ops.triton.tiles import FORWARD, LOGITS_BACKWARD, forward_shape, logits_shape, shared_memory
from tests.ops.triton.ahead_of_time import compile_instead_of_launching

# Both are loaded whole by some tiles and in pieces by others.
WIDTHS = 64, 512


def measure(capability: int) -> None:
    measured = []
    compile_instead_of_launching(capability, lambda kernel: measured.append(kernel.metadata.shared))
    for dtype in torch.bfloat16, torch.float32:
        size = dtype.itemsize
        for forward, logits in zip(FORWARD[size], LOGITS_BACKWARD[size], strict=True):
            attention.FORWARD, attention.LOGITS_BACKWARD = {size: (forward,)}, {size: (logits,)}
            query, key, value = (torch.zeros(1, 1, 256, width, dtype=dtype) for width in (WIDTHS[0], *WIDTHS))
            out, lse = attention.attention_forward(query, key, value, 1.0)
            attention.attention_backward(out, query, key, value, lse, lse, 1.0)
            values, keys = ((tiles, shape(tiles, *WIDTHS, size)) for tiles, shape in
                            ((forward, forward_shape), (logits, logits_shape)))
            for tiles, shape in values, keys, keys, values:
                print(measured.pop(0), shared_memory(tiles, shape, size, capability // 10))


if __name__ == '__main__':
    measure(int(sys.argv[1]))
