"""What two or more attention blocks share."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

NormLayer = Callable[[int], nn.Module]
ActLayer = Callable[[], nn.Module]

# The base of PyTorch's and of mmengine's, whose name is private.
BatchNorm: type[nn.Module] = nn.BatchNorm2d.__mro__[1]
# The activation of InPlaceABN, in which many official codes put their norms.
LEAKY_RELU = partial(nn.LeakyReLU, negative_slope=0.01)


def conv_norm_act(in_channels: int, out_channels: int, kernel_size: int = 1, *, dilation: int = 1, bias: bool = False,
                  norm_layer: NormLayer | None, act_layer: ActLayer | None) -> nn.Sequential:
    """A convolution that keeps the size, ``norm`` and ``act``; biased without a norm, and with one if ``bias``."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=nn.Conv2d(
        in_channels, out_channels, kernel_size, padding=dilation * (kernel_size // 2), dilation=dilation,
        bias=bias or norm_layer is None))
    if norm_layer is not None:
        layers['norm'] = norm_layer(out_channels)
    if act_layer is not None:
        layers['act'] = set_inplace(act_layer())
    return nn.Sequential(layers)


def set_inplace(act: nn.Module) -> nn.Module:
    """For what nobody needs after it: the result of a convolution, a norm or a sum, also not in their backward."""
    if hasattr(act, 'inplace'):
        act.inplace = True  # type: ignore[assignment]  # nn.Module takes what is neither a tensor nor a module too
    return act


def mean(tensors: Iterable[Tensor]) -> Tensor:
    """Of one or more tensors of one shape, which need not exist at the same time."""
    rest = iter(tensors)
    total, count = next(rest), 1
    for tensor in rest:
        total, count = total + tensor, count + 1
    return total / count


def check_pooled_batch(norm: nn.Module | None, batch: int) -> None:
    """Raises ValueError if a BatchNorm of the mean over the image is to be trained on one image."""
    if not (isinstance(norm, BatchNorm) and norm.training) or batch > 1:
        return
    # SyncBatchNorm counts the images of all processes.
    if isinstance(norm, nn.SyncBatchNorm) and dist.is_available() and dist.is_initialized() \
            and dist.get_world_size(norm.process_group) > 1:
        return
    raise ValueError(
        f'{type(norm).__name__} cannot train on one image: the mean over the image leaves it a single value per '
        'channel. Use at least 2 images per GPU, SyncBN over several GPUs, or GN')


def zero_init(layer: Any) -> None:
    """Of a convolution or a norm, which have no class in common that has a weight and a bias."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def flatten_pixels(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, N, C) with N = H W in row-major order."""
    return x.flatten(2).transpose(1, 2)


def pixel_linear(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """``flatten_pixels(conv(x))`` of a 1 x 1 convolution, (B, C, H, W) -> (B, N, D), dense without a copy."""
    return F.linear(flatten_pixels(x), conv.weight.flatten(1), conv.bias)


def unflatten_pixels(x: Tensor, like: Tensor) -> Tensor:
    """(B, N, C) -> (B, C, H, W) with the height and width of ``like``."""
    return x.transpose(1, 2).contiguous().unflatten(2, like.shape[-2:])


def point_indices(points: Tensor, height: int, width: int) -> Tensor:
    """Positions (P, 2) as (row, column) -> indices (P,) into the N = H W flattened pixels.

    Raises:
        ValueError: ``points`` is not an integer tensor of shape (P, 2), or a point lies outside the map.
    """
    points = torch.as_tensor(points)
    if points.ndim != 2 or points.shape[1] != 2 or points.is_floating_point():
        raise ValueError(f'points must be integers of shape (P, 2), each (row, column); '
                         f'got {points.dtype} of shape {tuple(points.shape)}')
    row, column = points.unbind(1)
    outside = (row < 0) | (row >= height) | (column < 0) | (column >= width)
    if outside.any():
        raise ValueError(f'point {points[outside][0].tolist()} lies outside the {height} x {width} feature map')
    return row * width + column


def max_pool(x: Tensor, size: int) -> Tensor:
    """Max-pooling of ``size`` x ``size`` pixels; a side shorter than that becomes one pixel."""
    return F.max_pool2d(x, _pool_size(size, *x.shape[-2:])) if size > 1 else x


def unpool_weights(weights: Tensor, size: int, height: int, width: int) -> Tensor:
    """Weights (B, P, M) of the M pixels of :func:`max_pool` -> (B, P, height, width).

    A weight is shared equally among the pixels of its pool. Last rows and columns that fill no pool have none.
    """
    down, right = _pool_size(size, height, width)
    rows, columns = height // down, width // right
    weights = weights.unflatten(2, (rows, columns)) / (down * right)
    weights = weights.repeat_interleave(down, dim=2).repeat_interleave(right, dim=3)
    return F.pad(weights, (0, width - columns * right, 0, height - rows * down))


def _pool_size(size: int, height: int, width: int) -> tuple[int, int]:
    return min(size, height), min(size, width)


def interpolation_matrix(in_size: int, out_size: int, align_corners: bool, like: Tensor) -> Tensor:
    """(out_size, in_size) in dtype and device of ``like``: what linear interpolation along one axis multiplies with."""
    eye = torch.eye(in_size, dtype=like.dtype, device=like.device)
    return F.interpolate(eye[None], out_size, mode='linear', align_corners=align_corners)[0].T


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for the while, so that a look at the attention changes no running statistics."""
    training = [m for m in module.modules() if m.training]
    module.eval()
    try:
        yield
    finally:
        for m in training:
            m.training = True
