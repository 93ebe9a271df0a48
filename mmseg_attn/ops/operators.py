"""What turns our operations into torch operators, which autograd, autocast, the compiler and FLOP counters know."""

from collections.abc import Callable, Sequence
from functools import update_wrapper

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

NAMESPACE = 'mmseg_attn'
_LIBRARY = torch.library.Library(NAMESPACE, 'FRAGMENT')


def operator(function: Callable) -> Callable:
    """Registers ``function``, whose annotations are its schema, as ``torch.ops.mmseg_attn.<its name>``."""
    registered = torch.library.custom_op(f'{NAMESPACE}::{function.__name__}', function, mutates_args=())
    return update_wrapper(registered, function)


def count_flops(*operators: Callable) -> Callable:
    """Decorates the formula of operators: the shapes of their tensors -> floating point operations, an addition and a
    multiplication as two. ``torch.utils.flop_counter.FlopCounterMode`` asks for it."""
    return register_flop_formula([getattr(torch.ops.mmseg_attn, op.__name__) for op in operators])


def half_under_autocast(op: Callable) -> None:
    """Has autocast hand the tensors of ``op`` over in its half precision, as it does for a matrix product."""
    for device in ('cpu', 'cuda'):
        _LIBRARY.impl(op.__name__, _casting(op, device), f'Autocast{device.upper()}')


def _casting(op: Callable, device: str) -> Callable:
    def cast(*arguments):
        dtype = torch.get_autocast_dtype(device)
        with torch.autocast(device, enabled=False):
            return op(*(a.to(dtype) if _is_castable(a) else a for a in arguments))
    return cast


def _is_castable(argument: object) -> bool:
    return isinstance(argument, Tensor) and argument.is_floating_point() and argument.dtype != torch.float64


def exporting() -> bool:
    """Whether a graph is traced that must run without this package, in PyTorch's own operators only."""
    if torch.jit.is_tracing():
        return True
    # Before torch 2.7 an export cannot be told from a compilation.
    return getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)()


def differentiable_gradients(plain: Callable, inputs: Sequence, grads: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Gradients of ``plain(*inputs)`` that have gradients themselves, which those of an operator have not.

    For a backward under ``create_graph=True``, where gradients are enabled; ``plain`` is the operator in PyTorch's own.
    """
    wanted = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    outputs = plain(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs, )
    outputs, grads = zip(*((o, g) for o, g in zip(outputs, grads, strict=True) if o.requires_grad), strict=True)
    found = torch.autograd.grad(outputs, [inputs[i] for i in wanted], grads, create_graph=True)
    out = [None] * len(inputs)
    for i, gradient in zip(wanted, found, strict=True):
        out[i] = gradient
    return tuple(out)
