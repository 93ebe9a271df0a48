"""What turns our operations into torch operators, which autograd, autocast, the compiler and FLOP counters know."""

import typing
from collections.abc import Callable, Sequence
from functools import update_wrapper, wraps
from typing import ParamSpec, Protocol, TypeVar, cast

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.flop_counter import register_flop_formula

from .autocast import no_autocast

NAMESPACE = 'mmseg_attn'
_LIBRARY = torch.library.Library(NAMESPACE, 'FRAGMENT')

# An argument of an operator in the only spelling that torch 2.4 reads.
Integers = typing.Sequence[int]

Arguments = ParamSpec('Arguments')
Result = TypeVar('Result', covariant=True)


class Operator(Protocol[Arguments, Result]):
    """What PyTorch makes of a function, by a class whose name is private and whose call takes anything."""

    __name__: str

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result: ...

    def register_fake(self, function: Callable) -> Callable: ...

    def register_autograd(self, backward: Callable, /, *, setup_context: Callable | None = None) -> None: ...


def operator(function: Callable[Arguments, Result]) -> Operator[Arguments, Result]:
    """Registers ``function``, whose annotations are its schema, as ``torch.ops.mmseg_attn.<its name>``."""
    compute: Callable = function  # by position, as PyTorch calls it

    @wraps(function)
    def without_autocast(*arguments):
        # Private; without it nothing is refused.
        if getattr(forward_ad, '_current_level', -1) >= 0:
            # PyTorch would silently take the derivative for zero.
            raise NotImplementedError(f'{function.__name__} has no forward-mode derivative, only a backward')
        # A backward may run under autocast too, whose halves would not fit the sums in float32.
        with no_autocast(arguments[0]):
            return compute(*arguments)

    registered = torch.library.custom_op(f'{NAMESPACE}::{function.__name__}', without_autocast, mutates_args=())
    return cast(Operator[Arguments, Result], update_wrapper(registered, function))


def register_flops(*operators: Operator) -> Callable:
    """Decorates the formula of operators: the shapes of their tensors -> floating point operations, an addition and a
    multiplication as two. ``torch.utils.flop_counter.FlopCounterMode`` asks for it."""
    packets = [getattr(torch.ops.mmseg_attn, op.__name__) for op in operators]

    def register(formula: Callable) -> Callable:
        register_flop_formula(packets)(formula)
        return formula
    return register


def register_autocast(op: Operator) -> None:
    """Has autocast hand the tensors of ``op`` over in its half precision, as it does for a matrix product."""
    for device in ('cpu', 'cuda'):
        _LIBRARY.impl(op.__name__, _casting(op, device), f'Autocast{device.upper()}')


def _casting(op: Operator, device: str) -> Callable:
    def cast(*arguments):
        dtype = torch.get_autocast_dtype(device)
        with torch.autocast(device, enabled=False):
            return op(*(a.to(dtype) if _is_castable(a) else a for a in arguments))
    return cast


def _is_castable(argument: object) -> bool:
    return isinstance(argument, Tensor) and argument.is_floating_point() and argument.dtype != torch.float64


def is_exporting() -> bool:
    """Whether a graph is traced that must run without this package, in PyTorch's own operators only."""
    if torch.jit.is_tracing():
        return True
    # Before torch 2.7 an export cannot be told from a compilation.
    return getattr(torch.compiler, 'is_exporting', torch.compiler.is_compiling)()


def differentiable_gradients(reference: Callable, inputs: Sequence,
                             grads: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Gradients of ``reference(*inputs)`` that have gradients themselves, which those of an operator have not.

    For a backward under ``create_graph=True``, where gradients are enabled. ``reference`` is the operator in PyTorch's
    own.
    """
    # Views, since an input may be another one too, or made of it: then the gradient of it would be counted twice.
    inputs = [x.view_as(x) if isinstance(x, Tensor) else x for x in inputs]
    wanted = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    outputs = reference(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs, )
    outputs, grads = zip(*((o, g) for o, g in zip(outputs, grads, strict=True) if o.requires_grad), strict=True)
    found = torch.autograd.grad(outputs, [inputs[i] for i in wanted], grads, create_graph=True)
    out: list[Tensor | None] = [None] * len(inputs)
    for i, gradient in zip(wanted, found, strict=True):
        out[i] = gradient
    return tuple(out)
