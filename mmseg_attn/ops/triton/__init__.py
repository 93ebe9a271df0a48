"""Kernels for GPUs, written in Triton. Importing this package does not import Triton; its modules do."""

import importlib.util
import os

import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
# PyTorch 2.7 is the first that comes with Triton 3.3, the oldest that the kernels are tested with.
USABLE = (importlib.util.find_spec('triton') is not None
          and torch.__version__ >= (2, 7))  # type: ignore[operator]  # a TorchVersion, which compares with tuples
# Triton looks itself when it is imported and when a kernel is defined. Interpreted kernels run on the CPU, slowly.
_INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'


def available(tensor: Tensor) -> bool:
    """Whether the kernels can compute on ``tensor``: not in float64, with Triton 3.3 or newer, on a GPU as new as
    Ampere (or on any device in Triton's interpreter)."""
    return USABLE and tensor.dtype in DTYPES and (_INTERPRETED or (tensor.is_cuda and _new_enough(tensor.device)))


def _new_enough(device: torch.device) -> bool:
    # Older ones have no tensor cores for bfloat16 and float32, and too little shared memory for wide heads.
    return torch.cuda.get_device_properties(device).major >= 8
