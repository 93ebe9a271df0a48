"""Attention of every pixel to every pixel in memory linear in the number of pixels.

Shapes: B batch, N queries, M keys, D width of queries and keys, E width of values.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from . import triton
from .autocast import no_autocast
from .checks import check_shape
from .dispatch import choose_backend, problem_of
from .operators import differentiable_gradients, is_exporting, operator, register_autocast, register_flops

# Logits that are held at a time: 8 MiB of float32, which stay in the last cache of a CPU.
MAX_TILE_ELEMENTS = 2**21
# And of one row: of more keys, a tile would have so few rows that it waits for keys and values to be read.
MAX_TILE_KEYS = 2**13


def softmax_attention(query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0) -> Tensor:
    """``softmax(scale * query key^T) value`` without an N x M tensor, the softmax in float32 for half inputs.

    :func:`mmseg_attn.ops.dispatch.choose_backend` tells what computes it. While exporting it is PyTorch's fused
    attention, with zeros that even the widths out, since an exported graph must do without our operators.

    Args:
        query: (B, N, D).
        key: (B, M, D).
        value: (B, M, E).
        scale: factor of the logits. The papers before the Transformer use none.

    Returns:
        (B, N, E).

    Raises:
        ValueError: shapes that do not fit.
    """
    if is_exporting():
        return _padded_to_equal_widths(query, key, value, scale)
    check_shape('query', query, None, None, None)
    check_shape('key', key, query.shape[0], None, query.shape[2])
    check_shape('value', value, *key.shape[:2], None)
    backend = choose_backend(problem_of(query, key, value))
    if backend == 'dense':
        return softmax_weights(query, key, scale).to(value.dtype) @ value
    if backend == 'sdpa':
        return _fused(query, key, value, scale)
    return tiled_softmax_attention(query, key, value, scale)[0]


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``(query key^T / M) value`` computed as ``query (key^T value / M)``: O(N D E) time, no N x M tensor.

    Shapes are those of :func:`softmax_attention`.
    """
    # Divided before the product, which in half precision would overflow for large maps.
    return query @ (key.transpose(1, 2) @ (value / key.shape[1]))


def softmax_weights(query: Tensor, key: Tensor, scale: float = 1.0) -> Tensor:
    """The weights of :func:`softmax_attention` themselves, (B, N, M), in float32 or better. For few queries only."""
    with no_autocast(query):
        logits = scale * (float_or_better(query) @ float_or_better(key).transpose(1, 2))
    return logits.softmax(-1)


def float_or_better(x: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _reference(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    logits = scale * (float_or_better(query) @ float_or_better(key).transpose(1, 2))
    return logits.softmax(-1).to(value.dtype) @ value, logits.logsumexp(-1)


def _fused(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    # The fused kernels want the last dimension dense; transposed maps would fall back to the N x M form.
    query, key, value = (t.contiguous()[:, None] for t in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value, scale=scale)[:, 0]


def _padded_to_equal_widths(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Zeros in queries and keys leave the logits as they are, zeros in values are cut off again."""
    width, value_width = query.shape[-1], value.shape[-1]
    if width < value_width:
        query, key = (F.pad(t, (0, value_width - width)) for t in (query, key))
    elif value_width < width:
        value = F.pad(value, (0, width - value_width))
    return _fused(query, key, value, scale)[..., :value_width]


@operator
def tiled_softmax_attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """:func:`softmax_attention` for any widths, and the logarithms (B, N) of its denominators, float32 or better."""
    if triton.available(query):
        from .triton.attention import attention_forward
        out, log_sum = attention_forward(query[None], key[None], value[None], scale)
        return out[0], log_sum[0]
    out = value.new_empty(*query.shape[:2], value.shape[2])
    query, key, value = (float_or_better(t) for t in (query, key, value))
    log_sum = query.new_empty(query.shape[:2])
    for images, rows, (first, *others) in _tiles(query.shape[0], query.shape[1], key.shape[1]):
        part = _part(query[images, rows], key[images, first], value[images, first], scale)
        for keys in others:
            part = _merged(*part, *_part(query[images, rows], key[images, keys], value[images, keys], scale))
        out[images, rows], log_sum[images, rows] = part
    return out, log_sum


def _part(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    weights, log_sum = softmax_and_log_sum(scaled_product(query, key, scale))
    return weights @ value, log_sum


def _merged(out: Tensor, log_sum: Tensor, other_out: Tensor, other_log_sum: Tensor) -> tuple[Tensor, Tensor]:
    """The attention to all keys, from that to some and that to the others."""
    whole = torch.logaddexp(log_sum, other_log_sum)
    out.mul_((log_sum - whole).exp()[..., None])
    return out.add_(other_out.mul_((other_log_sum - whole).exp()[..., None])), whole


@operator
def tiled_softmax_attention_backward(
        grad: Tensor, query: Tensor, key: Tensor, value: Tensor, log_sum: Tensor, delta: Tensor,
        scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value.

    Args:
        grad: of the output, (B, N, E).
        log_sum: of the forward, (B, N).
        delta: (B, N), the sum of ``grad * output`` over the width, less the gradient of ``log_sum``.
    """
    if triton.available(query):
        from .triton.attention import attention_backward
        grad_query, grad_key, grad_value = attention_backward(
            grad[None], query[None], key[None], value[None], log_sum[None], delta[None], scale)
        return (_in_memory_as(query, grad_query[0]), _in_memory_as(key, grad_key[0]),
                _in_memory_as(value, grad_value[0]))
    query_dtype, key_dtype, value_dtype = query.dtype, key.dtype, value.dtype
    grad, query, key, value = (float_or_better(t) for t in (grad, query, key, value))
    grad_query, grad_key, grad_value = torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)
    for images, rows, blocks in _tiles(query.shape[0], query.shape[1], key.shape[1]):
        for keys in blocks:
            logits = scaled_product(query[images, rows], key[images, keys], scale)
            if len(blocks) == 1:
                weights = logits.softmax(-1)
            else:
                weights, sums_of_block = softmax_and_log_sum(logits)
                weights.mul_((sums_of_block - log_sum[images, rows]).exp()[..., None])
            grad_value[images, keys].baddbmm_(weights.transpose(1, 2), grad[images, rows])
            grad_logits = scaled_product(grad[images, rows], value[images, keys])
            grad_logits.sub_(delta[images, rows, None]).mul_(weights)
            grad_query[images, rows].baddbmm_(grad_logits, key[images, keys], alpha=scale)
            grad_key[images, keys].baddbmm_(grad_logits.transpose(1, 2), query[images, rows], alpha=scale)
    return grad_query.to(query_dtype), grad_key.to(key_dtype), grad_value.to(value_dtype)


def _in_memory_as(like: Tensor, x: Tensor) -> Tensor:
    return x if like.is_contiguous() else torch.empty_like(like).copy_(x)


def scaled_product(a: Tensor, b: Tensor, scale: float = 1.0) -> Tensor:
    """``scale a b^T`` of matrices (..., N, D) and (..., M, D) in one pass."""
    return torch.baddbmm(a.new_empty(()), a, b.transpose(1, 2), beta=0, alpha=scale)


def softmax_and_log_sum(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The softmax over the last dimension, and the logarithm of what it divides by.

    By PyTorch's softmax, which is one pass; its ``exp`` becomes ten times slower where results underflow.
    """
    weights = logits.softmax(-1)
    return weights, logits.amax(-1) - weights.amax(-1).log()


def _tiles(batch: int, num_queries: int, num_keys: int) -> Iterator[tuple[slice, slice, list[slice]]]:
    """Images and rows of tiles, and the blocks of keys that they go over, of at most :data:`MAX_TILE_ELEMENTS` logits
    each."""
    blocks = [slice(first, first + MAX_TILE_KEYS) for first in range(0, max(num_keys, 1), MAX_TILE_KEYS)]
    rows = max(MAX_TILE_ELEMENTS // max(min(num_keys, MAX_TILE_KEYS), 1), 1)
    images = max(rows // max(num_queries, 1), 1)
    for image in range(0, batch, images):
        for row in range(0, num_queries, rows):
            yield slice(image, image + images), slice(row, row + rows), blocks


@tiled_softmax_attention.register_fake
def _(query, key, value, scale):
    return (value.new_empty(*query.shape[:2], value.shape[2]),
            query.new_empty(query.shape[:2], dtype=torch.promote_types(query.dtype, torch.float32)))


@tiled_softmax_attention_backward.register_fake
def _(grad, query, key, value, log_sum, delta, scale):
    return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


def _save(ctx, inputs, output):
    query, key, value, ctx.scale = inputs
    ctx.save_for_backward(query, key, value, *output)


def _backward(ctx, grad, grad_log_sum):
    query, key, value, out, log_sum = ctx.saved_tensors
    if torch.is_grad_enabled():
        return differentiable_gradients(_reference, (query, key, value, ctx.scale), (grad, grad_log_sum))
    delta = (grad.to(log_sum.dtype) * out).sum(dim=-1) - grad_log_sum
    return *tiled_softmax_attention_backward(grad, query, key, value, log_sum, delta, ctx.scale), None


tiled_softmax_attention.register_autograd(_backward, setup_context=_save)
register_autocast(tiled_softmax_attention)


@register_flops(tiled_softmax_attention)
def _(query, key, value, *_args, out_shape=None, **_kwargs):
    return 2 * query[0] * query[1] * key[1] * (query[2] + value[2])


@register_flops(tiled_softmax_attention_backward)
def _(grad, query, key, value, *_args, out_shape=None, **_kwargs):
    return 2 * query[0] * query[1] * key[1] * (3 * query[2] + 2 * value[2])
