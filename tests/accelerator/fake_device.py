"""A GPU that is not there: tensors with a shape, a dtype and a device, and no numbers.

PyTorch's FakeTensorMode follows shapes and devices without computing, and refuses operations on tensors of two
devices, as a GPU does. A build of PyTorch for CPUs has no gradients on CUDA, also not on fake tensors. So this
registers a device of its own in the place that PyTorch keeps for such, PrivateUse1.

That holds for the whole process: PyTorch then takes it for the accelerator of the machine. So the tests that use it
run in a process of their own (conftest.py).

Tensors on the CPU are computed with as always. What needs numbers stays for a real GPU: the kernels, memory, streams,
how close results are.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils import _pytree as pytree
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode

NAME = 'fakegpu'
DEVICE = f'{NAME}:0'
# What makes a device of Python's functions has a private name.
USABLE = hasattr(backend_registration, '_setup_privateuseone_for_python_backend')

PRECISIONS = {'float32': nullcontext, 'autocast': lambda: torch.autocast(NAME, torch.float16)}

_aten = torch.ops.aten
_SIZED = 'the size of the result depends on the numbers'
# The host waits for these until the device has done all that it was told.
_WAITING = {
    _aten._local_scalar_dense.default: 'a number is read, by item(), tolist(), bool(), int() or float()',
    _aten.equal.default: 'torch.equal',
    _aten.nonzero.default: f'nonzero: {_SIZED}',
    _aten.masked_select.default: f'masked_select: {_SIZED}',
    _aten.repeat_interleave.Tensor: f'repeat_interleave: {_SIZED}',
    _aten.unique_dim.default: f'unique: {_SIZED}',
    _aten._unique2.default: f'unique: {_SIZED}',
    _aten.bincount.default: f'bincount: {_SIZED}',
}
_INDEXING = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default, _aten._index_put_impl_.default}
# One for all: fake tensors of two modes do not mix.
_FAKE = FakeTensorMode(allow_non_fake_inputs=True)


class Waited(Exception):  # noqa: N818  # no mistake of the program that it interrupts
    """The host would have waited for the device."""


def register() -> None:
    """Makes the device known to PyTorch, once in a process."""
    module = SimpleNamespace(
        # Only so does FakeTensorMode take what torch.tensor makes on the CPU and copies.
        is_available=lambda: False,
        device_count=lambda: 1, current_device=lambda: 0, is_initialized=lambda: True,
        manual_seed_all=lambda seed: None, _is_in_bad_fork=lambda: False,
        get_amp_supported_dtype=lambda: [torch.float16, torch.bfloat16])
    backend_registration._setup_privateuseone_for_python_backend(NAME, module)


def moved(thing):
    """A module or a tensor on the device."""
    with _FAKE:
        return thing.to(DEVICE)


@contextmanager
def on_fake_device(may_wait: bool = False) -> Iterator[None]:
    """What is computed with on :data:`DEVICE` is fake, and what the host would wait for raises :class:`Waited`.

    Args:
        may_wait: whether copies between the devices are taken. Reading a number stays an error: there is none.
    """
    # On the thread of the test, so that an error in a backward shows the line that it comes from.
    with torch.autograd.set_multithreading_enabled(False), _FAKE, _Watch(may_wait):
        yield


class _Watch(TorchDispatchMode):
    """Sees the operations before FakeTensorMode, those of a backward too."""

    def __init__(self, may_wait: bool):
        super().__init__()
        self.may_wait = may_wait

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for x in pytree.arg_tree_leaves(*args, **kwargs) if isinstance(x, Tensor)]
        target = kwargs.get('device')
        on_cpu = target is None or torch.device(target).type != NAME
        if on_cpu and not any(isinstance(tensor, FakeTensor) for tensor in tensors):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        reason = None if self.may_wait else _why_the_host_waits(func, args, kwargs)
        if reason:
            raise Waited(f'{reason} ({_place()})')
        return func(*args, **kwargs)


def _why_the_host_waits(func, args: tuple, kwargs: dict) -> str | None:
    if func in _WAITING:
        return _WAITING[func]
    if func in _INDEXING:
        indices = [index for index in args[1] if index is not None]
        if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
            return f'an index of booleans: {_SIZED}'
        if any(index.device != args[0].device for index in indices):
            return 'an index that lies on another device'
    if func is _aten.copy_.default:
        source, target, non_blocking = args[1].device, args[0].device, args[2] if len(args) > 2 else False
    elif func is _aten._to_copy.default:
        source, non_blocking = args[0].device, kwargs.get('non_blocking')
        target = kwargs.get('device') or source
    else:
        return None
    if torch.device(target).type != source.type and not non_blocking:
        return f'a copy from {source.type} to {torch.device(target).type}'
    return None


def _place() -> str:
    """The line of the innermost of our and OpenMMLab's functions."""
    frames = [frame for frame, _ in traceback.walk_stack(None)
              if frame.f_globals.get('__name__', '').split('.')[0] in ('mmseg_attn', 'mmseg', 'mmcv')]
    return f'{frames[0].f_code.co_filename}:{frames[0].f_lineno}' if frames else 'no line of ours'
