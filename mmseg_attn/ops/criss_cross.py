"""Attention of every pixel to its row and its column.

Shapes: B images of H x W pixels, D width of queries and keys, C of values.
"""

import torch
from torch import Tensor

from . import triton
from .autocast import no_autocast
from .checks import check_shape
from .operators import differentiable_gradients, is_exporting, operator, register_autocast, register_flops
from .pixel_attention import float_or_better, softmax_and_log_sum


def criss_cross_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention of every pixel to its row and column, itself once, in O(N (H + W)) time and memory.

    The softmax is in float32 or better. Maps with channels last in memory need no copy.

    Args:
        query: (B, D, H, W).
        key: (B, D, H, W).
        value: (B, C, H, W).

    Returns:
        (B, C, H, W), channels last in memory.

    Raises:
        ValueError: shapes that do not fit.
    """
    if is_exporting():
        out, _ = _reference(*(t.permute(0, 2, 3, 1) for t in (query, key, value)))
    else:
        check_shape('query', query, None, None, None, None)
        check_shape('key', key, *query.shape)
        check_shape('value', value, query.shape[0], None, *query.shape[2:])
        out, _ = criss_cross(*(t.permute(0, 2, 3, 1).contiguous() for t in (query, key, value)))
    return out.permute(0, 3, 1, 2)


def criss_cross_weights(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of :func:`criss_cross_attention`, float32 or better.

    Returns:
        Of pixel (h, w), the weights of the pixels (i, w) of its column, (B, W, H, H) as [b, w, h, i], and of the
        pixels (h, j) of its row, (B, H, W, W) as [b, h, w, j]. Together they sum to one. The pixel itself has its
        weight in the row, and zero in the column.
    """
    along_column, along_row = _logits(query.permute(0, 2, 3, 1), key.permute(0, 2, 3, 1))
    weights = torch.cat([along_column, along_row], dim=3).softmax(dim=3)
    return weights[..., :query.shape[2]].transpose(1, 2), weights[..., query.shape[2]:]


def _logits(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Of (B, H, W, D): with the pixels of the column, (B, H, W, H), itself at -inf, and of the row, (B, H, W, W)."""
    with no_autocast(query):
        query, key = float_or_better(query), float_or_better(key)
        along_column = query.transpose(1, 2) @ key.permute(0, 2, 3, 1)
        along_row = query @ key.transpose(2, 3)
        itself = torch.eye(query.shape[1], dtype=torch.bool, device=query.device)
        return along_column.masked_fill(itself, float('-inf')).transpose(1, 2), along_row


def _reference(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`criss_cross` in PyTorch's own operators."""
    height = query.shape[1]
    logits = torch.cat(_logits(query, key), dim=3)
    weights = logits.softmax(dim=3).to(value.dtype)
    along_column, along_row = weights[..., :height].transpose(1, 2), weights[..., height:]
    out = along_row @ value + (along_column @ value.transpose(1, 2)).transpose(1, 2)
    return out, logits.logsumexp(dim=3)


@operator
def criss_cross(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`criss_cross_attention` with channels last, (B, H, W, D or C), and the logarithms (B, H, W) of its
    denominators, float32 or better."""
    if triton.available(query):
        return _by_kernels(query, key, value)
    dtype = value.dtype
    query, key, value = (float_or_better(t) for t in (query, key, value))
    out = value.new_empty(value.shape)
    log_sum = query.new_empty(query.shape[:3])
    for image in range(len(query)):
        weights, log_sum[image] = softmax_and_log_sum(_products(query[image], key[image], itself=-torch.inf))
        _weighted_sums(weights, value[image], out[image])
    return out.to(dtype), log_sum


@operator
def criss_cross_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, log_sum: Tensor,
                         delta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value.

    Args:
        grad: of the output, (B, H, W, C).
        log_sum: of the forward, (B, H, W).
        delta: (B, H, W), the sum of ``grad * output`` over the width, less the gradient of ``log_sum``.
    """
    if triton.available(query):
        return _gradients_by_kernels(grad, query, key, value, log_sum, delta)
    query_dtype, key_dtype, value_dtype = query.dtype, key.dtype, value.dtype
    grad, query, key, value = (float_or_better(t) for t in (grad, query, key, value))
    grad_query, grad_key, grad_value = (t.new_empty(t.shape) for t in (query, key, value))
    for image in range(len(query)):
        weights = _products(query[image], key[image], itself=-torch.inf).softmax(-1)
        _transposed_sums(weights, grad[image], grad_value[image])
        grad_logits = _products(grad[image], value[image], itself=0).sub_(delta[image, ..., None]).mul_(weights)
        _weighted_sums(grad_logits, key[image], grad_query[image])
        _transposed_sums(grad_logits, query[image], grad_key[image])
    return grad_query.to(query_dtype), grad_key.to(key_dtype), grad_value.to(value_dtype)


def _products(a: Tensor, b: Tensor, itself: float) -> Tensor:
    """(H, W, D) twice -> (H, W, H + W): of every pixel of ``a`` with its column of ``b``, where ``itself`` stands for
    the pixel, and with its row."""
    height, width = a.shape[:2]
    out = a.new_empty(height, width, height + width)
    column, row = out.split((height, width), dim=2)
    # In place: a matrix product writes into a part of a tensor as fast as into one of its own.
    row.baddbmm_(a, b.mT, beta=0)
    column = column.transpose(0, 1)
    column.baddbmm_(a.transpose(0, 1), b.permute(1, 2, 0), beta=0)
    column.diagonal(dim1=1, dim2=2).fill_(itself)
    return out


def _weighted_sums(weights: Tensor, x: Tensor, out: Tensor) -> None:
    """Weights (H, W, H + W) of every pixel's column and row, x (H, W, C) -> their sums, (H, W, C)."""
    column, row = weights.split(weights.shape[:2], dim=2)
    torch.bmm(row, x, out=out)
    out.transpose(0, 1).baddbmm_(column.transpose(0, 1), x.transpose(0, 1))


def _transposed_sums(weights: Tensor, x: Tensor, out: Tensor) -> None:
    """What every pixel gives to :func:`_weighted_sums`, collected where it comes from."""
    column, row = weights.split(weights.shape[:2], dim=2)
    torch.bmm(row.mT, x, out=out)
    out.transpose(0, 1).baddbmm_(column.permute(1, 2, 0), x.transpose(0, 1))


def _by_kernels(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    from .triton.attention import attention_forward
    row, row_log_sum = attention_forward(query, key, value, 1.0)
    column, column_log_sum = attention_forward(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), 1.0,
                                               exclude_itself=True)
    column_log_sum = column_log_sum.transpose(1, 2)
    # Of two softmaxes over parts, each weighs as much as its denominator does in the whole.
    share = (row_log_sum - column_log_sum).sigmoid()[..., None].to(value.dtype)
    return torch.lerp(column.transpose(1, 2), row, share).contiguous(), torch.logaddexp(row_log_sum, column_log_sum)


def _gradients_by_kernels(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, log_sum: Tensor,
                          delta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from .triton.attention import attention_backward
    rows = attention_backward(grad, query, key, value, log_sum, delta, 1.0)
    grad, query, key, value, log_sum, delta = (t.transpose(1, 2) for t in (grad, query, key, value, log_sum, delta))
    columns = attention_backward(grad, query, key, value, log_sum, delta, 1.0, exclude_itself=True)
    grad_query, grad_key, grad_value = (
        row.add_(column.transpose(1, 2)) for row, column in zip(rows, columns, strict=True))
    return grad_query, grad_key, grad_value


@criss_cross.register_fake
def _(query, key, value):
    dtype = torch.promote_types(query.dtype, torch.float32)
    return value.new_empty(value.shape), query.new_empty(query.shape[:3], dtype=dtype)


@criss_cross_backward.register_fake
def _(grad, query, key, value, log_sum, delta):
    return tuple(t.new_empty(t.shape) for t in (query, key, value))


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs, *output)


def _backward(ctx, grad, grad_log_sum):
    query, key, value, out, log_sum = ctx.saved_tensors
    if torch.is_grad_enabled():
        return differentiable_gradients(_reference, (query, key, value), (grad, grad_log_sum))
    delta = (grad.to(log_sum.dtype) * out).sum(dim=-1) - grad_log_sum
    return criss_cross_backward(grad, query, key, value, log_sum, delta)


criss_cross.register_autograd(_backward, setup_context=_save)
register_autocast(criss_cross)


@register_flops(criss_cross)
def _(query, key, value, out_shape=None, **_kwargs):
    batch, height, width, key_width = query
    return 2 * batch * height * width * (height + width) * (key_width + value[3])


@register_flops(criss_cross_backward)
def _(grad, query, key, value, *_args, out_shape=None, **_kwargs):
    batch, height, width, key_width = query
    return 2 * batch * height * width * (height + width) * (3 * key_width + 2 * value[3])
