"""Autocast for the fake device, as it is for CUDA: which operations get half precision, and which float32.

The lists are those of ATen/autocast_mode.h, less what no network here calls.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from mmseg_attn.ops import operators
from tests.accelerator.fake_device import NAME

KEY = 'AutocastPrivateUse1'
TO_HALF = ('_convolution', 'conv1d', 'conv2d', 'conv_transpose2d.input', 'convolution', 'prelu', 'addmm', 'addmv',
           'matmul', 'einsum', 'mm', 'mv', 'linear', 'addbmm', 'baddbmm', 'bmm', 'scaled_dot_product_attention')
TO_FLOAT32 = ('exp', 'expm1', 'log', 'log1p', 'reciprocal', 'rsqrt', 'pow.Tensor_Scalar', 'pow.Tensor_Tensor',
              'softplus', 'layer_norm', 'group_norm', 'nll_loss', 'nll_loss2d', 'l1_loss', 'mse_loss',
              'binary_cross_entropy_with_logits', 'cdist', 'logsumexp', 'upsample_nearest2d', 'upsample_linear1d',
              'upsample_bilinear2d', 'upsample_bicubic2d', 'prod', 'prod.dim_int', 'softmax.int', 'log_softmax.int',
              'cumsum', 'linalg_vector_norm', 'sum', 'sum.dim_IntList')
TO_THE_WIDEST = ('addcdiv', 'addcmul', 'dot', 'grid_sampler', 'index_put', 'scatter_add', 'cat', 'stack')
_LIBRARIES = [torch.library.Library('_', 'IMPL'), torch.library.Library('aten', 'IMPL'),
              torch.library.Library(operators.NAMESPACE, 'IMPL')]


def register() -> None:
    """After the device's own registration."""
    everything, aten, ours = _LIBRARIES
    everything.fallback(torch.library.fallthrough_kernel, KEY)
    for names, dtype_of in ((TO_HALF, _half), (TO_FLOAT32, _float32), (TO_THE_WIDEST, _widest)):
        for name in names:
            aten.impl(name, _casting(name, dtype_of), KEY)
    for name in _operators_with_autocast():
        ours.impl(name, operators._casting(getattr(torch.ops.mmseg_attn, name), NAME), KEY)


def _operators_with_autocast() -> list[str]:
    """Those of ours that ask for it on CUDA."""
    namespace = f'{operators.NAMESPACE}::'
    return [name.removeprefix(namespace) for name in torch._C._dispatch_get_all_op_names()
            if name.startswith(namespace) and torch._C._dispatch_has_kernel_for_dispatch_key(name, 'AutocastCUDA')]


def _casting(name: str, dtype_of: Callable) -> Callable:
    packet, _, overload = name.partition('.')
    operation = getattr(getattr(torch.ops.aten, packet), overload or 'default')

    def cast(*args, **kwargs):
        tensors = [x for x in pytree.arg_tree_leaves(*args, **kwargs) if _is_castable(x)]
        dtype = dtype_of(tensors)
        with torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)):
            args, kwargs = pytree.tree_map(lambda x: x.to(dtype) if _is_castable(x) else x, (args, kwargs))
            return operation(*args, **kwargs)
    return cast


def _is_castable(x: object) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point() and x.dtype != torch.float64 and x.device.type == NAME


def _half(_: list[Tensor]) -> torch.dtype:
    return torch.get_autocast_dtype(NAME)


def _float32(_: list[Tensor]) -> torch.dtype:
    return torch.float32


def _widest(tensors: list[Tensor]) -> torch.dtype:
    return torch.float32 if any(t.dtype == torch.float32 for t in tensors) else torch.get_autocast_dtype(NAME)
