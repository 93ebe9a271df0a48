"""What computes softmax attention, and why. Numbers in, a name out, so that it is tested without a GPU.

PyTorch's ``scaled_dot_product_attention`` has several fused kernels, and a form that stores all N x M weights, which it
takes without a word where no kernel will do. It must never come to that, so its conditions for its kernels are written
down here (from aten/src/ATen/native/transformers/cuda/sdp_utils.cpp). Which of them it then takes is its own choice.

No GPU has been timed. The order rests on what is multiplied and what must be copied, not on measurements.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from . import triton
from .autocast import computing_dtype

# 'dense': plain operations, all weights at once. 'sdpa': PyTorch's fused attention. 'tiled': our own operator, by a
# Triton kernel on a GPU where there is Triton, otherwise by PyTorch's operators tile by tile.
Backend = Literal['dense', 'sdpa', 'tiled']

# Up to this many pairs of pixels (256 x 256) the whole map is one tile: it is computed in the plain order of
# operations, which keeps the rounding of the official codes.
MAX_DENSE_ELEMENTS = 2**16

HALVES = torch.float16, torch.bfloat16

_forced: Backend | None = None


class Problem(NamedTuple):
    """What the choice depends on."""

    width: int
    value_width: int
    # Of the weights; None while they are traced for any size, where a branch on it would fix it.
    num_pairs: int | None
    dtype: torch.dtype
    requires_grad: bool = False
    # Of an NVIDIA GPU, None elsewhere.
    capability: tuple[int, int] | None = None
    # Whether Triton's kernels can compute on this device.
    triton: bool = False


def choose_backend(problem: Problem) -> Backend:
    """The backend of :func:`mmseg_attn.ops.softmax_attention`.

    - One tile: dense.
    - Equal widths: fused. A kernel of PyTorch's needs no padding and multiplies nothing twice.
    - Equal widths that no kernel of PyTorch's takes, in float32 a width that is no multiple of 4 say: tiled.
    - Unequal ones on a GPU with Triton: tiled. PyTorch's memory-efficient kernel takes them too, but was made for
      narrow values; ours keeps the sums of wide ones in registers.
    - Unequal ones on a GPU without Triton: fused if that kernel takes them: one launch instead of several per tile.
    - Unequal ones elsewhere: tiled. PyTorch's fall back to the N x M form on the CPU, and zeros that would even the
      widths out are multiplied too.
    """
    if _forced is not None:
        return _forced
    if problem.num_pairs is not None and problem.num_pairs <= MAX_DENSE_ELEMENTS:
        return 'dense'
    equal = problem.width == problem.value_width
    if problem.capability is None:
        return 'sdpa' if equal else 'tiled'
    return 'sdpa' if fused_kernels(problem) and (equal or not problem.triton) else 'tiled'


def fused_kernels(problem: Problem) -> tuple[str, ...]:
    """Which of PyTorch's fused kernels compute this on an NVIDIA GPU.

    cuDNN's is not among them. It takes halves whose widths are multiples of 8, up to a limit that depends on its
    release, and all these the memory-efficient one takes too.
    """
    assert problem.capability is not None
    kernels = {'flash': _flash, 'efficient': _efficient}
    return tuple(name for name, takes in kernels.items() if takes(problem, problem.capability))


def _flash(problem: Problem, capability: tuple[int, int]) -> bool:
    if capability < (8, 0) or problem.dtype not in HALVES:
        return False
    # Its backward has too little shared memory there. PyTorch knows of 12.x since a later release than of 8.x.
    small = (8, 6) <= capability <= (8, 9) or capability[0] == 12
    if problem.requires_grad and small and 192 < problem.width <= 224:
        return False
    return problem.width == problem.value_width <= 256


def _efficient(problem: Problem, capability: tuple[int, int]) -> bool:
    half = problem.dtype in HALVES
    if (not half and problem.dtype != torch.float32) or (problem.dtype == torch.bfloat16 and capability < (8, 0)):
        return False
    # 16 bytes, where tensor cores multiply.
    alignment = 16 // problem.dtype.itemsize if capability >= (8, 0) or (half and capability >= (7, 0)) else 1
    return problem.width % alignment == problem.value_width % alignment == 0 < min(problem.width, problem.value_width)


def problem_of(query: Tensor, key: Tensor, value: Tensor) -> Problem:
    """The problem that these tensors are: (B, N, D), (B, M, D) and (B, M, E)."""
    tensors = query, key, value
    capability, has_triton = _gpu(query.device) if query.is_cuda and torch.cuda.is_available() else (None, False)
    return Problem(
        query.shape[2], value.shape[2],
        None if torch.compiler.is_compiling() else query.shape[1] * key.shape[1],
        computing_dtype(query), torch.is_grad_enabled() and any(t.requires_grad for t in tensors),
        capability, has_triton)


@torch.compiler.assume_constant_result
def _gpu(device: torch.device) -> tuple[tuple[int, int] | None, bool]:
    """Compute capability, None on one that is not NVIDIA's, and whether Triton works."""
    return (None if torch.version.hip else torch.cuda.get_device_capability(device)), triton.works_on(device)


@contextmanager
def force_backend(backend: Backend) -> Iterator[None]:
    """Every attention in this context by ``backend``, for benchmarks and tests. Add ``torch.nn.attention.sdpa_kernel``
    to choose among PyTorch's kernels."""
    global _forced
    if backend not in get_args(Backend):
        raise ValueError(f'backend must be one of {get_args(Backend)}, got {backend!r}')
    before, _forced = _forced, backend
    try:
        yield
    finally:
        _forced = before
