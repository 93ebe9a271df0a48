"""Attention of every pixel to every pixel in memory linear in the number of pixels.

Shapes: B batch, N queries, M keys, D width of queries and keys, E width of values.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# Up to this many pairs of pixels (256 x 256) the whole map is one tile: it is computed in the plain order of
# operations, which keeps the rounding of the official codes.
ONE_TILE = 2**16


def softmax_attention(query: Tensor, key: Tensor, value: Tensor, scale: float = 1.0) -> Tensor:
    """``softmax(scale * query key^T) value`` without an N x M tensor, the softmax in float32 for half inputs.

    Args:
        query: (B, N, D).
        key: (B, M, D).
        value: (B, M, E).
        scale: factor of the logits. The papers before the Transformer use none.

    Returns:
        (B, N, E).
    """
    # While tracing for free sizes a branch on the size would fix it.
    if not torch.compiler.is_compiling() and query.shape[1] * key.shape[1] <= ONE_TILE:
        return softmax_weights(query, key, scale).to(value.dtype) @ value
    width, value_width = query.shape[-1], value.shape[-1]
    # The fused CPU kernel takes one width only; with two PyTorch falls back to the N x M form. Zeros in queries
    # and keys leave the logits as they are, zeros in values are cut off again.
    if width < value_width:
        query, key = (F.pad(t, (0, value_width - width)) for t in (query, key))
    elif value_width < width:
        value = F.pad(value, (0, width - value_width))
    # The fused kernels also want the last dimension dense; transposed maps would fall back to the N x M form.
    query, key, value = (t.contiguous()[:, None] for t in (query, key, value))
    out = F.scaled_dot_product_attention(query, key, value, scale=scale)
    return out[:, 0, :, :value_width]


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``(query key^T / M) value`` computed as ``query (key^T value / M)``: O(N D E) time, no N x M tensor.

    Shapes are those of :func:`softmax_attention`.
    """
    # Divided before the product, which in half precision would overflow for large maps.
    return query @ (key.transpose(1, 2) @ (value / key.shape[1]))


def softmax_weights(query: Tensor, key: Tensor, scale: float = 1.0) -> Tensor:
    """The weights of :func:`softmax_attention` themselves, (B, N, M), in float32 or better. For few queries only."""
    with torch.autocast(query.device.type, enabled=False):
        logits = scale * (float_or_better(query) @ float_or_better(key).transpose(1, 2))
    return logits.softmax(-1)


def float_or_better(x: Tensor) -> Tensor:
    """Half precision to float32; float32 and float64 as they are."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
