"""Dynamic graph message passing: every pixel sums samples of the map at positions of its own.

Shapes: B images, C channels in G groups, K taps, N = H W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from . import triton
from .checks import check_shape
from .operators import differentiable_gradients, is_exporting, operator, register_flops
from .pixel_attention import float_or_better

SUM_MODE = 0  # how PyTorch numbers the modes of its embedding bag
# Private, so that a release may come without them.
TABLE_BACKWARD = getattr(torch.ops.aten, '_embedding_bag_dense_backward', None)
WEIGHTS_BACKWARD = getattr(torch.ops.aten, '_embedding_bag_per_sample_weights_backward', None)


def pass_messages(x: Tensor, positions: Tensor, weights: Tensor) -> Tensor:
    """``out_cp = sum_k weights_gkp x_c(positions_kp)`` for the channels c of group g.

    x is sampled bilinearly, zero outside; the samples are never stored. Sums are in float32 or better, also under
    autocast. The gradient of a whole-numbered position is that towards greater ones.

    Args:
        x: (B, C, H, W).
        positions: (B, K, 2, H, W), row and column in pixels; in float32, as halves would miss pixels.
        weights: (B, G, K, H, W).

    Returns:
        (B, C, H, W) in the dtype of ``x``.

    Raises:
        ValueError: shapes that do not fit, or groups that do not divide the channels.
    """
    if is_exporting():
        return _reference(x, positions, weights)
    check_shape('x', x, None, None, None, None)
    batch, channels, height, width = x.shape
    check_shape('positions', positions, batch, None, 2, height, width)
    check_shape('weights', weights, batch, None, positions.shape[1], height, width)
    if channels % weights.shape[1]:
        raise ValueError(f'groups must divide the number of channels, got {weights.shape[1]} groups of {channels} '
                         'channels')
    return sample_and_sum(x, positions, weights)


def bilinear_sample(x: Tensor, positions: Tensor) -> Tensor:
    """x (B, C, H, W) at ``positions`` (B, 2, H, W) in pixels, zero outside -> (B, C, H, W)."""
    height, width = x.shape[-2:]
    # With align_corners=True a side of one pixel would have no outside.
    row, column = positions.unbind(1)
    grid = torch.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], dim=-1)
    return F.grid_sample(x, grid, mode='bilinear', padding_mode='zeros', align_corners=False)


def _reference(x: Tensor, positions: Tensor, weights: Tensor) -> Tensor:
    dtype = x.dtype
    x, positions, weights = (float_or_better(t) for t in (x, positions, weights))
    out: Tensor | None = None
    for tap in range(weights.shape[2]):
        samples = bilinear_sample(x, positions[:, tap]).unflatten(1, (weights.shape[1], -1))
        message = (samples * weights[:, :, tap, None]).flatten(1, 2)
        out = message if out is None else out + message
    assert out is not None
    return out.to(dtype)


@operator
def sample_and_sum(x: Tensor, positions: Tensor, weights: Tensor) -> Tensor:
    """:func:`pass_messages`.

    On the CPU a sum of samples is an embedding bag: of 4 K rows of a table, the corners, with a weight each. PyTorch's
    own operator reads dense rows and stores no sample, unlike ``grid_sample`` tap by tap.
    """
    if triton.available(x):
        from .triton.message_passing import message_passing_forward
        return message_passing_forward(x, positions, weights)
    dtype = x.dtype
    x, positions, weights = (float_or_better(t) for t in (x, positions, weights))
    out = x.new_empty(x.shape)
    for image in range(len(x)):
        corners = _Corners(positions[image])
        for group, channels in enumerate(_group_slices(x, weights)):
            table = _table(x[image, channels])
            sums = F.embedding_bag(corners.index.view(len(table), -1), table, mode='sum',
                                   per_sample_weights=corners.bag_weights(weights[image, group]).view(len(table), -1))
            out[image, channels] = sums.T.view_as(out[image, channels])
    return out.to(dtype)


@operator
def sample_and_sum_backward(grad: Tensor, x: Tensor, positions: Tensor,
                            weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, positions and weights."""
    # The kernel adds by atomic operations, in any order; PyTorch's embedding bag sorts.
    if triton.available(x) and not torch.are_deterministic_algorithms_enabled():
        from .triton.message_passing import message_passing_backward
        return message_passing_backward(grad, x, positions, weights)
    x_dtype, positions_dtype, weights_dtype = x.dtype, positions.dtype, weights.dtype
    grad, x, positions, weights = (float_or_better(t) for t in (grad, x, positions, weights))
    grad_x, grad_positions, grad_weights = (t.new_empty(t.shape) for t in (x, positions, weights))
    for image in range(len(x)):
        corners = _Corners(positions[image])
        grad_shares = torch.zeros_like(corners.shares)
        for group, channels in enumerate(_group_slices(x, weights)):
            table, grad_sums = _table(x[image, channels]), _table(grad[image, channels])
            weight = weights[image, group]
            grad_table, grad_bag_weights = _bag_gradients(grad_sums, table, corners.index, corners.bag_weights(weight))
            grad_x[image, channels] = grad_table.T.view_as(x[image, channels])
            grad_bag_weights = grad_bag_weights.view(-1, *corners.shares.shape[:2]).permute(1, 2, 0)
            grad_weights[image, group] = (grad_bag_weights * corners.shares).sum(dim=1).view_as(weight)
            grad_shares.addcmul_(grad_bag_weights, weight.flatten(1)[:, None])
        grad_positions[image] = corners.gradient(grad_shares).view_as(positions[image])
    return grad_x.to(x_dtype), grad_positions.to(positions_dtype), grad_weights.to(weights_dtype)


class _Corners:
    """The four pixels around each of K positions of N pixels.

    Args:
        positions: (K, 2, H, W).

    Attributes:
        index: (4 K N,) indices of the corners into the N pixels, those of one pixel together, tap by tap.
        shares: (K, 4, N), what each contributes to the sample: zero outside.
    """

    def __init__(self, positions: Tensor):
        size = torch.tensor(positions.shape[2:], device=positions.device)[:, None]
        positions = positions.flatten(2)
        before = positions.floor()
        # (K, 2, 1, N): of the corner before and the one after, for rows and columns.
        after_share = positions - before
        before = before.long()
        self._sides = torch.stack([1 - after_share, after_share], dim=2)
        corner = torch.stack([before, before + 1], dim=2)
        inside = (corner >= 0) & (corner < size[..., None])
        self._sides = self._sides * inside
        self._slopes = torch.stack([-inside[:, :, 0].to(positions), inside[:, :, 1].to(positions)], dim=2)
        row, column = corner.clamp(min=torch.zeros_like(size)[..., None], max=size[..., None] - 1).unbind(1)
        index = row[:, :, None] * size[1] + column[:, None, :]
        self.index = index.flatten(1, 2).permute(2, 0, 1).flatten()
        self.shares = (self._sides[:, 0, :, None] * self._sides[:, 1, None, :]).flatten(1, 2)

    def bag_weights(self, weight: Tensor) -> Tensor:
        """Weights (K, H, W) of the samples -> those of the corners, in the order of ``index``."""
        return (self.shares * weight.flatten(1)[:, None]).permute(2, 0, 1).flatten()

    def gradient(self, grad_shares: Tensor) -> Tensor:
        """Gradient of ``shares`` -> that of the positions, (K, 2, N)."""
        grad_shares = grad_shares.unflatten(1, (2, 2))
        rows, columns = self._sides[:, 0, :, None], self._sides[:, 1, None, :]
        row_slopes, column_slopes = self._slopes[:, 0, :, None], self._slopes[:, 1, None, :]
        return torch.stack([(grad_shares * row_slopes * columns).sum(dim=(1, 2)),
                            (grad_shares * rows * column_slopes).sum(dim=(1, 2))], dim=1)


def _group_slices(x: Tensor, weights: Tensor) -> list[slice]:
    width = x.shape[1] // weights.shape[1]
    return [slice(group * width, (group + 1) * width) for group in range(weights.shape[1])]


def _table(x: Tensor) -> Tensor:
    """(C, H, W) -> (N, C), dense rows."""
    return x.flatten(1).T.contiguous()


def _bag_gradients(grad: Tensor, table: Tensor, index: Tensor, bag_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Of the table and of ``bag_weights``. An operator computes below autograd, so it calls what autograd would."""
    if TABLE_BACKWARD is None or WEIGHTS_BACKWARD is None:
        return _bag_gradients_by_index(grad, table, index, bag_weights)
    bag_size = len(index) // len(table)
    offsets = torch.arange(0, len(index), bag_size, device=index.device)
    bag_of_each = torch.arange(len(table), device=index.device).repeat_interleave(bag_size)
    unused = offsets.new_empty(0)
    grad_table = TABLE_BACKWARD(grad, index, bag_of_each, unused, unused, len(table), False, SUM_MODE, bag_weights)
    grad_bag_weights = WEIGHTS_BACKWARD(grad, table, index, offsets, bag_of_each, SUM_MODE)
    return grad_table, grad_bag_weights


def _bag_gradients_by_index(grad: Tensor, table: Tensor, index: Tensor, bag_weights: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`_bag_gradients` in public operators."""
    bag_size = len(index) // len(table)
    grad_table, grad_bag_weights = torch.zeros_like(table), torch.empty_like(bag_weights)
    for place in range(bag_size):
        rows = index[place::bag_size]
        grad_table.index_add_(0, rows, grad * bag_weights[place::bag_size, None])
        grad_bag_weights[place::bag_size] = (grad * table[rows]).sum(dim=1)
    return grad_table, grad_bag_weights


@sample_and_sum.register_fake
def _(x, positions, weights):
    return x.new_empty(x.shape)


@sample_and_sum_backward.register_fake
def _(grad, x, positions, weights):
    return tuple(t.new_empty(t.shape) for t in (x, positions, weights))


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad):
    if torch.is_grad_enabled():
        return differentiable_gradients(_reference, ctx.saved_tensors, (grad, ))
    return sample_and_sum_backward(grad, *ctx.saved_tensors)


sample_and_sum.register_autograd(_backward, setup_context=_save)


@register_flops(sample_and_sum)
def _(x, positions, weights, out_shape=None, **_kwargs):
    return 2 * 4 * positions[1] * x[0] * x[1] * x[2] * x[3]


@register_flops(sample_and_sum_backward)
def _(grad, x, positions, weights, out_shape=None, **_kwargs):
    return 2 * 2 * 4 * positions[1] * x[0] * x[1] * x[2] * x[3]
