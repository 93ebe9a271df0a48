"""Kernels for GPUs, written in Triton. Importing this package does not import Triton; its modules do.

With MMSEG_ATTN_TRITON=0 in the environment none is used, and PyTorch's operators compute everything.
"""

import functools
import importlib.util
import os
import warnings

import torch
from torch import Tensor

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
_SWITCH = 'MMSEG_ATTN_TRITON'
# PyTorch 2.7 is the first that comes with Triton 3.3, the oldest that the kernels are tested with.
USABLE = (os.environ.get(_SWITCH) != '0' and importlib.util.find_spec('triton') is not None
          and torch.__version__ >= (2, 7))  # type: ignore[operator]  # a TorchVersion, which compares with tuples
# Triton looks itself when it is imported and when a kernel is defined. Interpreted kernels run on the CPU, slowly.
_INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'


def available(tensor: Tensor) -> bool:
    """Whether the kernels can compute on ``tensor``: not in float64, with Triton 3.3 or newer, on a GPU as new as
    Ampere on which Triton can launch (or on any device in Triton's interpreter).

    To launch, Triton builds a module in C once, for which it needs a compiler, and loads it into Python. Where that
    fails the first call warns, and PyTorch's operators are used. The environment variable MMSEG_ATTN_TRITON=0 turns
    the kernels off.
    """
    return USABLE and tensor.dtype in DTYPES and (_INTERPRETED or (tensor.is_cuda and works_on(tensor.device)))


@functools.cache
def works_on(device: torch.device) -> bool:
    """Whether a GPU is new enough, and Triton can launch on it."""
    return USABLE and _new_enough(device) and _can_launch(device)


def _new_enough(device: torch.device) -> bool:
    # Older ones have no tensor cores for bfloat16 and float32, and too little shared memory for wide heads.
    return torch.cuda.get_device_properties(device).major >= 8


def _can_launch(device: torch.device) -> bool:
    try:
        from .probe import launch_probe
        launch_probe(device)
    except Exception as error:  # of Triton, the C compiler, ptxas or the driver, which share no class
        # This passes, and says nothing about Triton.
        if 'out of memory' in str(error):
            raise
        warnings.warn(f'Triton cannot launch on {device}, so PyTorch computes what our kernels would. '
                      f'{_SWITCH}=0 in the environment turns the kernels and this warning off. '
                      f'The reason: {type(error).__name__}: {error}', RuntimeWarning, stacklevel=2)
        return False
    return True
