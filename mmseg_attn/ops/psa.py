"""Point-wise spatial attention, a few rows at a time, so that the map of every pixel to every pixel never exists.

Shapes: B images of H x W pixels, N = H W, D channels, a mask of M = mask_h mask_w relative positions.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_shape
from .operators import Integers, differentiable_gradients, is_exporting, operator, register_autocast, register_flops
from .pixel_attention import float_or_better, softmax_and_log_sum
from .psa_geometry import Geometry, row_blocks
from .psa_mask import relative_to_absolute

# Up to this many pixels the whole map is computed at once: row by row, the calls would take longer than the work.
MAX_DENSE_PIXELS = {'cpu': 512, 'cuda': 4096}
# Logits that are held at a time: 2 MiB of float32, which stay in the last cache of a CPU beside what they are made of
# (with 4 times as many it is no faster), and 64 MiB on a GPU, where it is not timed.
MAX_TILE_ELEMENTS = {'cpu': 2**19, 'cuda': 2**24}


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
    # In this order: an export with free sizes would be tied to one side of a branch on the size.
    if is_exporting() or height * width <= MAX_DENSE_PIXELS.get(mask.device.type, 0):
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
    feature, mask, value = (_for_products(t) for t in (feature, mask, value))
    out, log_sum = value.new_empty(value.shape), _zeros(feature.shape[:3], feature)
    geometry = Geometry(feature.shape[1:3], mask_size, collect)
    mask = geometry.visible(mask)
    for image in range(len(feature)):
        features, values = geometry.sources(feature[image]), geometry.sources(value[image]).flatten(0, 1)
        for rows in _row_blocks(feature):
            weights = float_or_better(geometry.logits(features, mask, rows))
            if softmax:
                weights, log_sums = softmax_and_log_sum(weights)
                log_sum[image, rows] = log_sums.view_as(log_sum[image, rows])
            torch.mm(weights.to(values.dtype), values, out=out[image, rows].flatten(0, 1))
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
    grad, feature, mask, value = (_for_products(t) for t in (grad, feature, mask, value))
    # Sums over many rows stay in float32.
    grad_feature, grad_mask, grad_value = (_zeros(t.shape, t) for t in (feature, mask, value))
    geometry = Geometry(feature.shape[1:3], mask_size, collect)
    mask, visible_grad_mask = geometry.visible(mask), geometry.visible(grad_mask)
    for image in range(len(feature)):
        features, values = geometry.sources(feature[image]), geometry.sources(value[image]).flatten(0, 1)
        grad_features, grad_values = grad_feature.new_zeros(features.shape), grad_value.new_zeros(values.shape)
        for rows in _row_blocks(feature):
            weights = float_or_better(geometry.logits(features, mask, rows))
            grads = grad[image, rows].flatten(0, 1)
            grad_logits = float_or_better(grads @ values.T)
            if softmax:
                weights = weights.softmax(-1)
                grad_logits.sub_(delta[image, rows].flatten()[:, None]).mul_(weights)
            grad_values += weights.to(values.dtype).T @ grads
            geometry.add_gradients(grad_logits.to(features.dtype), features, mask, rows, grad_features,
                                   visible_grad_mask)
        grad_feature[image] = geometry.sources(grad_features)
        grad_value[image] = geometry.sources(grad_values.view_as(value[image]))
    return grad_feature.to(feature_dtype), grad_mask.to(mask_dtype), grad_value.to(value_dtype)


def _zeros(shape: torch.Size, like: Tensor) -> Tensor:
    """In float32 or better."""
    return like.new_zeros(shape, dtype=torch.promote_types(like.dtype, torch.float32))


def _for_products(x: Tensor) -> Tensor:
    """On a GPU halves are multiplied as such; a CPU is slow at it, if it has no instructions for them."""
    return x if x.is_cuda else float_or_better(x)


def _row_blocks(feature: Tensor) -> list[slice]:
    """Rows of targets that are computed together, as many as :data:`MAX_TILE_ELEMENTS` admits."""
    _, height, width, _ = feature.shape
    most = MAX_TILE_ELEMENTS['cuda' if feature.is_cuda else 'cpu']
    return row_blocks(height, max(most // max(height * width**2, 1), 1))


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


@register_flops(row_wise_point_attention)
def _(feature, mask, value, mask_size, collect, softmax, out_shape=None, **_kwargs):
    batch, height, width, channels = value
    pairs = Geometry((height, width), mask_size, collect).visible_pairs()
    return 2 * batch * (pairs * mask[1] + (height * width)**2 * channels)


@register_flops(row_wise_point_attention_backward)
def _(grad, feature, mask, value, log_sum, delta, mask_size, collect, softmax, out_shape=None, **_kwargs):
    batch, height, width, channels = value
    pairs = Geometry((height, width), mask_size, collect).visible_pairs()
    return 2 * batch * (3 * pairs * mask[1] + 2 * (height * width)**2 * channels)
