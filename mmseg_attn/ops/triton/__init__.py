"""Kernels for GPUs, written in Triton. Importing this package does not import Triton; its modules do."""

import importlib.util
import os

import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
_INSTALLED = importlib.util.find_spec('triton') is not None
# Triton looks itself when it is imported and when a kernel is defined. Interpreted kernels run on the CPU, slowly.
_INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'


def available(tensor: Tensor) -> bool:
    """Whether the kernels can compute on ``tensor``: not in float64, with Triton, on a GPU as new as Ampere (or on any
    device in Triton's interpreter)."""
    return _INSTALLED and tensor.dtype in DTYPES and (_INTERPRETED or (tensor.is_cuda and _new_enough(tensor.device)))


def _new_enough(device: torch.device) -> bool:
    # Older ones have no tensor cores for bfloat16 and float32, and too little shared memory for wide heads.
    return torch.cuda.get_device_properties(device).major >= 8
