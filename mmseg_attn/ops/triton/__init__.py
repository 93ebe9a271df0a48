"""Kernels for GPUs, written in Triton. Importing this package does not import Triton; its modules do."""

import importlib.util
import os

import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
_INSTALLED = importlib.util.find_spec('triton') is not None
# Triton itself looks when a kernel is defined, so this must be set before its first import. Then kernels run on the CPU.
_INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'


def available(tensor: Tensor) -> bool:
    """Whether the kernels can compute on ``tensor``: Triton installed, a GPU (or Triton's interpreter), no float64."""
    return _INSTALLED and (tensor.is_cuda or _INTERPRETED) and tensor.dtype in DTYPES
