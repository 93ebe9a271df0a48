"""The smallest kernel: whether it can be launched tells whether Triton works at all."""

import torch
import triton

from .launching import LAUNCH_OPTIONS


@triton.jit
def _probe_kernel(number):
    # Without a tensor: while PyTorch traces, one that is made here would have no memory.
    pass


def launch_probe(device: torch.device) -> None:
    with torch.cuda.device(device):
        _probe_kernel[1,](0, **LAUNCH_OPTIONS)
