"""What the launchers of all kernels share."""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor
from triton.runtime.errors import OutOfResources

T = TypeVar('T', bound=Hashable)

# Of every launch: a * b + c in one instruction. From Triton 3.10 on it makes two unless told.
LAUNCH_OPTIONS = dict(enable_fp_fusion=True)
# Arguments that change with the image. Triton would compile a kernel once more where one is 1 or a multiple of 16.
SIDES = ('height', 'width')

_first_that_fits: dict[Hashable, int] = {}


def on_device_of(tensor: Tensor) -> AbstractContextManager:
    """Triton launches on the current device, which need not be the tensor's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def launch_first_that_fits(launch: Callable[[T], None], candidates: tuple[T, ...], *key: Hashable) -> None:
    """Calls ``launch`` with the first candidate for which the device has the shared memory.

    Which one that is gets remembered for ``key`` and the candidates: finding out means to compile.
    """
    key = *key, candidates
    for index in range(_first_that_fits.get(key, 0), len(candidates)):
        try:
            launch(candidates[index])
        except OutOfResources:
            if index + 1 == len(candidates):
                raise
        else:
            _first_that_fits[key] = index
            return


def dot_precision(dtype: torch.dtype) -> str:
    """How ``tl.dot`` multiplies: float32 as torch.matmul may, halves in any case exactly."""
    if dtype != torch.float32 or torch.version.hip:
        return 'ieee'
    matmul = torch.backends.cuda.matmul
    # Since 2.9 `allow_tf32` raises an error where the user has set its successor, `fp32_precision`.
    allowed = matmul.fp32_precision == 'tf32' if hasattr(matmul, 'fp32_precision') else matmul.allow_tf32
    # Three products on the tensor cores give the precision of float32; 'ieee' would leave the tensor cores idle.
    return 'tf32' if allowed else 'tf32x3'
