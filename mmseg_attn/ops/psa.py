"""Point-wise spatial attention, row by row, so that the map of every pixel to every pixel never exists.

Shapes: B images of H x W pixels, N = H W, D channels, a mask of M = mask_h mask_w relative positions.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_shape
from .operators import Integers, differentiable_gradients, is_exporting, operator, register_autocast, register_flops
from .pixel_attention import float_or_better, softmax_and_log_sum
from .psa_mask import relative_to_absolute

# Up to this many pixels the whole map is computed at once: row by row, the calls would take longer than the work.
MAX_DENSE_PIXELS = {'cpu': 512, 'cuda': 4096}


def point_attention(feature: Tensor, mask: Tensor, value: Tensor, mask_size: tuple[int, int] | None, collect: bool,
                    softmax: bool = True) -> Tensor:
    """Sums of pixels with weights that every pixel predicts from itself, in O(N^2 (C + D)) time and O(N W) memory.

    Pixel i gives the logit ``m_i(d) = feature_i . mask_d`` to the relative position d; 0 outside the mask.

        collect       y_i = sum_j softmax_j(m_i(j - i)) value_j
        distribute    y_j = sum_i softmax_i(m_i(j - i)) value_i

    The softmax is in float32 or better.

    Args:
        feature: (B, D, H, W).
        mask: (M, D), the mask's positions in row-major order.
        value: (B, C, H, W).
        mask_size: (mask_h, mask_w); the relative position 0 is at ``(mask_h - 1) // 2, (mask_w - 1) // 2``. None for
            absolute positions, M = N: ``m_i(j) = feature_i . mask_j``.
        collect: as above; False distributes.
        softmax: False takes the logits themselves as weights.

    Returns:
        (B, C, H, W).

    Raises:
        ValueError: shapes that do not fit.
    """
    height, width = feature.shape[2:]
    if not is_exporting():
        check_shape('mask', mask, mask_size[0] * mask_size[1] if mask_size else height * width, feature.shape[1])
        check_shape('value', value, feature.shape[0], None, height, width)
    feature, value = (t.permute(0, 2, 3, 1) for t in (feature, value))
    arguments = mask_size or (), collect, softmax
    # While tracing for free sizes a branch on the size would fix it.
    small = not torch.compiler.is_compiling() and height * width <= MAX_DENSE_PIXELS.get(mask.device.type, 0)
    if is_exporting() or small:
        out, _ = _reference(feature, mask, value, *arguments)
    else:
        out, _ = row_wise_point_attention(feature.contiguous(), mask, value.contiguous(), *arguments)
    return out.permute(0, 3, 1, 2)


def _reference(feature: Tensor, mask: Tensor, value: Tensor, mask_size: Sequence[int], collect: bool,
               softmax: bool) -> tuple[Tensor, Tensor]:
    """:func:`row_wise_point_attention` in PyTorch's own operators."""
    logits = F.linear(feature, mask)
    logits = float_or_better(relative_to_absolute(logits, mask_size) if mask_size else logits.flatten(1, 2))
    logits = logits if collect else logits.transpose(1, 2)
    weights = logits.softmax(2) if softmax else logits
    log_sum = logits.logsumexp(2) if softmax else logits.new_zeros(logits.shape[:2])
    out = weights.to(value.dtype) @ value.flatten(1, 2)
    return out.view_as(value), log_sum.unflatten(1, value.shape[1:3])


@operator
def row_wise_point_attention(feature: Tensor, mask: Tensor, value: Tensor, mask_size: Integers, collect: bool,
                             softmax: bool) -> tuple[Tensor, Tensor]:
    """:func:`point_attention` with channels last, (B, H, W, D or C), and the logarithms (B, H, W) of its denominators,
    float32 or better. An empty ``mask_size`` stands for absolute positions."""
    dtype = value.dtype
    feature, mask, value = (float_or_better(t) for t in (feature, mask, value))
    out, log_sum = value.new_empty(value.shape), feature.new_zeros(feature.shape[:3])
    geometry = _Geometry(feature.shape, mask_size, collect)
    mask = geometry.visible(mask)
    for image in range(len(feature)):
        features, values = geometry.sources(feature[image]), geometry.sources(value[image]).flatten(0, 1)
        for row in range(geometry.height):
            weights = geometry.logits(features, mask, row)
            if softmax:
                weights, log_sum[image, row] = softmax_and_log_sum(weights)
            torch.mm(weights, values, out=out[image, row])
    return out.to(dtype), log_sum


@operator
def row_wise_point_attention_backward(
        grad: Tensor, feature: Tensor, mask: Tensor, value: Tensor, log_sum: Tensor, delta: Tensor,
        mask_size: Integers, collect: bool, softmax: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of feature, mask and value.

    Args:
        grad: of the output, (B, H, W, C).
        log_sum: of the forward, (B, H, W).
        delta: (B, H, W), the sum of ``grad * output`` over the channels, less the gradient of ``log_sum``.
    """
    feature_dtype, mask_dtype, value_dtype = feature.dtype, mask.dtype, value.dtype
    grad, feature, mask, value = (float_or_better(t) for t in (grad, feature, mask, value))
    grad_feature, grad_mask, grad_value = (t.new_zeros(t.shape) for t in (feature, mask, value))
    geometry = _Geometry(feature.shape, mask_size, collect)
    mask, visible_grad_mask = geometry.visible(mask), geometry.visible(grad_mask)
    for image in range(len(feature)):
        features, values = geometry.sources(feature[image]), geometry.sources(value[image]).flatten(0, 1)
        grad_features, grad_values = (t.new_zeros(t.shape) for t in (features, values))
        for row in range(geometry.height):
            weights = geometry.logits(features, mask, row)
            grad_logits = grad[image, row] @ values.T
            if softmax:
                weights = weights.softmax(-1)
                grad_logits.sub_(delta[image, row, :, None]).mul_(weights)
            grad_values.addmm_(weights.T, grad[image, row])
            geometry.add_gradients(grad_logits, features, mask, row, grad_features, visible_grad_mask)
        grad_feature[image] = geometry.sources(grad_features)
        grad_value[image] = geometry.sources(grad_values.view_as(value[image]))
    return grad_feature.to(feature_dtype), grad_mask.to(mask_dtype), grad_value.to(value_dtype)


class _Geometry:
    """Which part of the mask decides between the pixels of a row, the targets, and all pixels, the sources.

    A target at column t sees a source at column s through column s - t of the mask (collect) or t - s (distribute). So
    a product with all 2 W - 1 columns of a row of the mask holds what is needed, and a change of strides finds it.
    With `distribute` the rows of the sources are flipped: then for both, the next row of sources is seen through the
    next row of the mask.
    """

    def __init__(self, shape: torch.Size, mask_size: Sequence[int], collect: bool):
        self.height, self.width = shape[1:3]
        self.collect = collect
        self.relative = bool(mask_size)
        self.mask_size = tuple(mask_size) or (self.height, self.width)
        # Of the mask, what reaches into a map of this size.
        self.rows = self.columns = slice(None)
        if self.relative:
            centre_row, centre_column = ((side - 1) // 2 for side in mask_size)
            self.rows = slice(max(centre_row - self.height + 1, 0), min(centre_row + self.height, mask_size[0]))
            self.columns = slice(max(centre_column - self.width + 1, 0), min(centre_column + self.width, mask_size[1]))
            self.centre_row = centre_row - self.rows.start
            # Where its first column lies among the 2 W - 1.
            self.first_column = self.columns.start - centre_column + self.width - 1

    def visible(self, mask: Tensor) -> Tensor:
        """A view of the mask (M, D) as (rows, columns, D)."""
        return mask.unflatten(0, self.mask_size)[self.rows, self.columns]

    def sources(self, x: Tensor) -> Tensor:
        """(H, W, C) in the order of the sources; its own inverse."""
        return x if self.collect or not self.relative else x.flip(0)

    def seen_rows(self, row: int) -> tuple[slice, slice]:
        """Of the sources those that the mask reaches from a row of targets, and of the mask those they lie under."""
        first = self.centre_row - row if self.collect else self.centre_row + row - (self.height - 1)
        sources = slice(max(-first, 0), min(self.rows.stop - self.rows.start - first, self.height))
        return sources, slice(sources.start + first, sources.stop + first)

    def logits(self, features: Tensor, mask: Tensor, row: int) -> Tensor:
        """(W, N) of the targets in a row for all sources."""
        if not self.relative:
            targets, others = (features, mask) if self.collect else (mask, features)
            return targets[row] @ others.flatten(0, 1).T
        spread = self._spread(features)
        sources, parts = self.seen_rows(row)
        seen = spread[:, sources] if self.collect else spread[sources]
        seen = seen[..., self.first_column:self.first_column + mask.shape[1]]
        if self.collect:
            seen.copy_((features[row] @ mask[parts].flatten(0, 1).T).view_as(seen))
        else:
            seen.copy_(features[sources] @ mask[parts].mT)
        return self._skewed(spread).flatten(1)

    def add_gradients(self, grad_logits: Tensor, features: Tensor, mask: Tensor, row: int, grad_features: Tensor,
                      grad_mask: Tensor) -> None:
        """Adds what the gradient of :meth:`logits` gives to those of ``features`` and ``mask``."""
        if not self.relative:
            pairs = (features, grad_features), (mask, grad_mask)
            (targets, grad_targets), (others, grad_others) = pairs if self.collect else pairs[::-1]
            grad_targets[row].addmm_(grad_logits, others.flatten(0, 1))
            grad_others.view(-1, others.shape[2]).addmm_(grad_logits.T, targets[row])
            return
        spread = self._spread(features)
        self._skewed(spread).copy_(grad_logits.view(self.width, self.height, self.width))
        sources, parts = self.seen_rows(row)
        seen = spread[:, sources] if self.collect else spread[sources]
        seen = seen[..., self.first_column:self.first_column + mask.shape[1]]
        if self.collect:
            seen = seen.flatten(1)
            grad_features[row].addmm_(seen, mask[parts].flatten(0, 1))
            grad_mask[parts] += (seen.T @ features[row]).view_as(grad_mask[parts])
        else:
            grad_features[sources] += seen @ mask[parts]
            grad_mask[parts] += seen.mT @ features[sources]

    def _spread(self, like: Tensor) -> Tensor:
        """Zeros for every target or source pixel of a row, row of the others, and column of the mask."""
        size = (self.width, self.height) if self.collect else (self.height, self.width)
        return like.new_zeros(*size, 2 * self.width - 1)

    def _skewed(self, spread: Tensor) -> Tensor:
        """View (W, H, W): target column, source row, source column."""
        columns = 2 * self.width - 1
        stride = (self.height * columns - 1, columns, 1) if self.collect else (1, self.width * columns, columns - 1)
        return spread.as_strided((self.width, self.height, self.width), stride, self.width - 1)


@row_wise_point_attention.register_fake
def _(feature, mask, value, mask_size, collect, softmax):
    dtype = torch.promote_types(feature.dtype, torch.float32)
    return value.new_empty(value.shape), feature.new_empty(feature.shape[:3], dtype=dtype)


@row_wise_point_attention_backward.register_fake
def _(grad, feature, mask, value, log_sum, delta, mask_size, collect, softmax):
    return tuple(t.new_empty(t.shape) for t in (feature, mask, value))


def _save(ctx, inputs, output):
    *tensors, ctx.mask_size, ctx.collect, ctx.softmax = inputs
    ctx.save_for_backward(*tensors, *output)


def _backward(ctx, grad, grad_log_sum):
    feature, mask, value, out, log_sum = ctx.saved_tensors
    arguments = ctx.mask_size, ctx.collect, ctx.softmax
    if torch.is_grad_enabled():
        return differentiable_gradients(_reference, (feature, mask, value, *arguments), (grad, grad_log_sum))
    delta = (grad.to(log_sum.dtype) * out).sum(dim=-1) - grad_log_sum
    grads = row_wise_point_attention_backward(grad, feature, mask, value, log_sum, delta, *arguments)
    return *grads, None, None, None


row_wise_point_attention.register_autograd(_backward, setup_context=_save)
register_autocast(row_wise_point_attention)


def _visible_pairs(feature: torch.Size, mask_size: Sequence[int], collect: bool) -> int:
    """Products of a pixel's feature with a position of the mask that are computed."""
    geometry = _Geometry(feature, mask_size, collect)
    batch, height, width, _ = feature
    if not mask_size:
        return batch * (height * width)**2
    rows = sum(len(range(*geometry.seen_rows(row)[0].indices(height))) for row in range(height))
    return batch * rows * width * (geometry.columns.stop - geometry.columns.start)


@register_flops(row_wise_point_attention)
def _(feature, mask, value, mask_size, collect, softmax, out_shape=None, **_kwargs):
    batch, height, width, channels = value
    return 2 * (_visible_pairs(feature, mask_size, collect) * mask[1] + batch * (height * width)**2 * channels)


@register_flops(row_wise_point_attention_backward)
def _(grad, feature, mask, value, log_sum, delta, mask_size, collect, softmax, out_shape=None, **_kwargs):
    batch, height, width, channels = value
    return 2 * (3 * _visible_pairs(feature, mask_size, collect) * mask[1] + 2 * batch * (height * width)**2 * channels)
