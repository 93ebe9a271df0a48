"""What the launchers of all kernels need to know about the device."""

from contextlib import AbstractContextManager, nullcontext

import torch
import triton
from torch import Tensor

# Of every launch: a * b + c in one instruction, which Triton 3.10 no longer makes unless asked to.
OPTIONS = dict(enable_fp_fusion=True)


def on_device_of(tensor: Tensor) -> AbstractContextManager:
    """Triton launches on the current device, which need not be the tensor's."""
    return torch.cuda.device(tensor.device) if tensor.is_cuda else nullcontext()


def shared_memory(tensor: Tensor) -> int:
    """Bytes of shared memory that one program can have on the tensor's device."""
    if not tensor.is_cuda:
        return 2**16
    return triton.runtime.driver.active.utils.get_device_properties(tensor.device.index)['max_shared_mem']


def dot_precision(dtype: torch.dtype) -> str:
    """How ``tl.dot`` multiplies: in float32 as torch.matmul is allowed to, otherwise as exactly as the inputs are."""
    if dtype != torch.float32 or torch.version.hip:
        return 'ieee'
    matmul = torch.backends.cuda.matmul
    # From 2.9 on `allow_tf32` raises an error where the user has set the newer `fp32_precision`.
    allowed = matmul.fp32_precision == 'tf32' if hasattr(matmul, 'fp32_precision') else matmul.allow_tf32
    # Three products of tensor cores, which lose nothing that float32 has; the exact alternative leaves them idle.
    return 'tf32' if allowed else 'tf32x3'
