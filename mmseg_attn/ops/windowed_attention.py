"""Attention of every pixel, or of every s-th one, to the K x K pixels around it.

Shapes: B images of H x W pixels, h x w queries, G groups of channels, D width of queries and keys, C of values, T = K^2
taps of the window, row by row.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_positive, check_shape
from .operators import differentiable_gradients, is_exporting, operator, register_flops
from .pixel_attention import float_or_better

# Numbers that each tensor of a tile holds at most: 8 MiB of float32, which stay in the last cache of a CPU.
MAX_TILE_ELEMENTS = 2**21
# A GPU waits for nothing but the launches of many small kernels.
MAX_TILE_ELEMENTS_GPU = 2**26


class Similarity(NamedTuple):
    """How alike a channel of a query and of a key are, and the derivatives of that by both."""

    value: Callable[[Tensor, Tensor], Tensor]
    derivatives: Callable[[Tensor, Tensor], tuple[Tensor | float, Tensor | float]]


def _normalized_difference(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    norm, difference = q.abs() + k.abs() + 1, (q - k).abs()
    slope, share = (q - k).sign() / norm, difference / norm**2
    return share * q.sign() - slope, share * k.sign() + slope


def _normalized_squared_difference(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
    norm = (q * k).abs() + 1
    slope, share = 2 * (q - k) / norm, ((q - k) / norm)**2
    return share * k.abs() * q.sign() - slope, share * q.abs() * k.sign() + slope


# In the order of the numbers that the official operation of LR-Net has for them.
SIMILARITIES = {
    'product': Similarity(lambda q, k: q * k, lambda q, k: (k, q)),
    'key': Similarity(lambda q, k: k, lambda q, k: (0.0, 1.0)),
    'difference': Similarity(lambda q, k: -(q - k).abs(), lambda q, k: ((k - q).sign(), (q - k).sign())),
    'normalized_difference': Similarity(
        lambda q, k: -(q - k).abs() / (q.abs() + k.abs() + 1), _normalized_difference),
    'normalized_squared_difference': Similarity(
        lambda q, k: -(q - k)**2 / ((q * k).abs() + 1), _normalized_squared_difference),
    'squared_difference': Similarity(lambda q, k: -(q - k)**2, lambda q, k: (2 * (k - q), 2 * (q - k))),
}


def windowed_attention(query: Tensor, key: Tensor, value: Tensor, window: int, groups: int = 1, *,
                       position: Tensor | None = None, embedding: Tensor | None = None, stride: int = 1,
                       dilation: int = 1, similarity: str = 'product', scale: float = 1.0,
                       border: str | float = 'exclude') -> Tensor:
    """Softmax attention of every query to the window around it, in each group of channels by itself.

        logit[t] = scale * sum_i phi(query[i], key_t[i]) + position[t] + sum_i query[i] embedding[t, i]
        out      = sum_t softmax_t(logit) value_t

    with t the pixel of the window at row ``y * stride + (t // K - K // 2) * dilation``, likewise its column, and i the
    channels of the group. Time O(h w T (D + C)). No tensor has K^2 values for every pixel of a large map: tiles of
    queries are computed, in the backward once more. Kept for the backward are the inputs. Logits and sums are in
    float32 or better.

    Args:
        query: (B, D, h, w), with h = ceil(H / stride) and w = ceil(W / stride).
        key: (B, D, H, W).
        value: (B, C, H, W).
        window: K, odd.
        groups: G, a divisor of D and C. Channels of a group lie beside each other.
        position: (G, T), added to the logits.
        embedding: (G, T, D / G), whose products with the queries are added to the logits.
        stride: pixels from one query to the next.
        dilation: pixels from one tap to the next.
        similarity: phi, one of ``SIMILARITIES``.
        scale: factor of phi.
        border: of taps beyond the border, whose values are zero. 'exclude': they have no weight. 'zero': their keys
            are zero, and they have the weight that follows. A number: it stands in the place of ``scale * sum phi``.

    Returns:
        (B, C, h, w) in the dtype of ``value``.

    Raises:
        ValueError: shapes that do not fit, or an argument outside these bounds.
    """
    outside = outside_logit(border)
    arguments = window, groups, stride, dilation, similarity, scale, outside
    if is_exporting():
        return _reference(query, key, value, position, embedding, *arguments)
    check_window(window, stride, dilation, similarity)
    check_positive(groups=groups)
    check_shape('key', key, None, None, None, None)
    check_shape('value', value, key.shape[0], None, *key.shape[2:])
    check_shape('query', query, *key.shape[:2], *(-(-side // stride) for side in key.shape[2:]))
    for name, channels in ('query', query.shape[1]), ('value', value.shape[1]):
        if channels % groups:
            raise ValueError(f'groups must divide the channels of the {name}, got {groups} groups of {channels}')
    if position is not None:
        check_shape('position', position, groups, window**2)
    if embedding is not None:
        check_shape('embedding', embedding, groups, window**2, query.shape[1] // groups)
    return attend_windows(query, key, value, position, embedding, *arguments)


def windowed_weights(query: Tensor, key: Tensor, points: Tensor, window: int, groups: int = 1, *,
                     position: Tensor | None = None, embedding: Tensor | None = None, stride: int = 1,
                     dilation: int = 1, similarity: str = 'product', scale: float = 1.0,
                     border: str | float = 'exclude') -> Tensor:
    """The weights of :func:`windowed_attention` at some of its queries, the mean over the groups.

    Args:
        points: (P, 2) integers, (row, column) among the queries.
        query: as all others, those of :func:`windowed_attention`.

    Returns:
        (B, P, H, W), float32 or better. They sum to one, less what taps beyond the border have.
    """
    taps, height, width = _Taps(window, stride, dilation), *key.shape[2:]
    row, column = points.to(key.device).unbind(1)
    query, padded = _grouped(query, groups)[..., row, column].unsqueeze(3), taps.pad(_grouped(key, groups))
    # Those of the padded map, (T, P).
    rows, columns = (centres * stride + offsets[:, 0] + taps.radius for centres, offsets in
                     zip((row, column), taps.offsets(key.device), strict=True))
    inside = taps.inside(stride * row[None], stride * column[None], height, width)
    keys = padded[..., rows, columns].unsqueeze(3).unbind(4)
    logits = _logits(query, keys, inside, position, embedding, SIMILARITIES[similarity], scale, outside_logit(border))
    weights = logits.softmax(2).mean(1).squeeze(2)
    out = weights.new_zeros(len(weights), len(points), *padded.shape[-2:])
    out[:, torch.arange(len(points), device=key.device), rows, columns] = weights
    return out[..., taps.radius:taps.radius + height, taps.radius:taps.radius + width]


def outside_logit(border: str | float) -> float | None:
    """What the operator takes for ``border``: a logit, or None for zero keys."""
    if border == 'zero':
        return None
    if border == 'exclude':
        return -torch.inf
    if isinstance(border, bool) or not isinstance(border, (int, float)) or not border < torch.inf:
        raise ValueError(f"border must be 'exclude', 'zero' or a logit, got {border!r}")
    return float(border)


def check_window(window: int, stride: int, dilation: int, similarity: str) -> None:
    """Raises ValueError for what :func:`windowed_attention` cannot do on any input."""
    check_positive(window=window, stride=stride, dilation=dilation)
    if window % 2 == 0:
        raise ValueError(f'window must be odd, got {window}')
    if similarity not in SIMILARITIES:
        raise ValueError(f'similarity must be one of {", ".join(SIMILARITIES)}; got {similarity!r}')


@operator
def attend_windows(query: Tensor, key: Tensor, value: Tensor, position: Tensor | None, embedding: Tensor | None,
                   window: int, groups: int, stride: int, dilation: int, similarity: str, scale: float,
                   outside: float | None) -> Tensor:
    """:func:`windowed_attention` without its checks; ``outside`` is the logit of taps beyond the border, None where
    their keys are zero."""
    taps = _Taps(window, stride, dilation)
    out = value.new_empty(*value.shape[:2], *query.shape[2:])
    for images, blocks in _tiles(query, value, groups, taps):
        queries = _grouped(query[images], groups)
        keys, values = (taps.pad(_grouped(t[images], groups)) for t in (key, value))
        for rows in blocks:
            tile = queries[..., rows, :], keys[..., taps.rows(rows), :]
            inside = taps.inside_map(rows, query, key)
            weights = _weights(*tile, inside, position, embedding, taps, similarity, scale, outside)
            out[images, :, rows] = _weighted_sum(weights, values[..., taps.rows(rows), :], taps).to(out.dtype)
    return out


@operator
def attend_windows_backward(grad: Tensor, query: Tensor, key: Tensor, value: Tensor, position: Tensor | None,
                            embedding: Tensor | None, window: int, groups: int, stride: int, dilation: int,
                            similarity: str, scale: float,
                            outside: float | None) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of query, key and value, of ``position`` (G, T), and of ``embedding`` (G, T, D / G)."""
    taps = _Taps(window, stride, dilation)
    grad_query, grad_key, grad_value = (t.new_empty(t.shape) for t in (query, key, value))
    dtype = torch.promote_types(query.dtype, torch.float32)
    grad_position = query.new_zeros(groups, window**2, dtype=dtype)
    grad_embedding = query.new_zeros(groups, window**2, query.shape[1] // groups, dtype=dtype)
    for images, blocks in _tiles(query, value, groups, taps):
        grads, queries = _grouped(grad[images], groups), _grouped(query[images], groups)
        keys, values = (taps.pad(_grouped(t[images], groups)) for t in (key, value))
        grad_queries, grad_keys, grad_values = (torch.zeros_like(t) for t in (queries, keys, values))
        for rows in blocks:
            near, inside = taps.rows(rows), taps.inside_map(rows, query, key)
            tile = queries[..., rows, :], keys[..., near, :]
            weights = _weights(*tile, inside, position, embedding, taps, similarity, scale, outside)
            grad_logits = _through_the_softmax(grads[..., rows, :], weights, values[..., near, :],
                                               grad_values[..., near, :], taps)
            grad_position += grad_logits.sum((0, 3, 4))
            if embedding is not None:
                flat, flat_query = grad_logits.flatten(3), tile[0].flatten(3)
                grad_embedding += (flat @ flat_query.mT).sum(0)
                grad_queries[..., rows, :] += (float_or_better(embedding).mT @ flat).view_as(tile[0])
            if outside is not None:
                grad_logits.masked_fill_(~inside, 0)
            _through_the_similarity(scale * grad_logits, *tile, grad_queries[..., rows, :], grad_keys[..., near, :],
                                    taps, similarity)
        grad_query[images] = grad_queries.flatten(1, 2).to(query.dtype)
        grad_key[images] = taps.crop(grad_keys).flatten(1, 2).to(key.dtype)
        grad_value[images] = taps.crop(grad_values).flatten(1, 2).to(value.dtype)
    return grad_query, grad_key, grad_value, grad_position, grad_embedding


class _Taps(NamedTuple):
    """The pixels of a window, each as a map over the queries."""

    window: int
    stride: int
    dilation: int

    @property
    def radius(self) -> int:
        return self.window // 2 * self.dilation

    def pad(self, x: Tensor) -> Tensor:
        """Zeros around a map (..., H, W)."""
        return F.pad(x, (self.radius, ) * 4)

    def crop(self, padded: Tensor) -> Tensor:
        """The inverse of :meth:`pad`."""
        height, width = (side - 2 * self.radius for side in padded.shape[-2:])
        return padded[..., self.radius:self.radius + height, self.radius:self.radius + width]

    def rows(self, rows: slice) -> slice:
        """Of queries -> those rows of a padded map that they see."""
        return slice(rows.start * self.stride, (rows.stop - 1) * self.stride + 2 * self.radius + 1)

    def views(self, padded: Tensor, height: int, width: int) -> Iterator[Tensor]:
        """Of what ``height`` x ``width`` queries see of a padded map, the part of each tap, (..., height, width)."""
        down, right = (height - 1) * self.stride + 1, (width - 1) * self.stride + 1
        for row in range(0, self.window * self.dilation, self.dilation):
            for column in range(0, self.window * self.dilation, self.dilation):
                yield padded[..., row:row + down:self.stride, column:column + right:self.stride]

    def offsets(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Rows and columns of the taps from the centre, (T, 1, 1) each."""
        offset = (torch.arange(self.window, device=device) - self.window // 2) * self.dilation
        return (offset.repeat_interleave(self.window)[:, None, None], offset.repeat(self.window)[:, None, None])

    def inside(self, row: Tensor, column: Tensor, height: int, width: int) -> Tensor:
        """Whether the taps around centres (h, 1) and (1, w), or (1, P) twice, lie in the map: (T, h, w), (T, 1, P)."""
        down, right = self.offsets(row.device)
        row, column = row + down, column + right
        return (row >= 0) & (row < height) & (column >= 0) & (column < width)

    def inside_map(self, rows: slice, query: Tensor, key: Tensor) -> Tensor:
        """:meth:`inside` for some rows of the queries."""
        row = self.stride * torch.arange(rows.start, rows.stop, device=query.device)[:, None]
        column = self.stride * torch.arange(query.shape[3], device=query.device)
        return self.inside(row, column[None], *key.shape[2:])


def _grouped(x: Tensor, groups: int) -> Tensor:
    """(B, C, H, W) -> (B, G, C / G, H, W), float32 or better."""
    return float_or_better(x).contiguous().unflatten(1, (groups, x.shape[1] // groups))


def _tiles(query: Tensor, value: Tensor, groups: int, taps: _Taps) -> Iterator[tuple[slice, list[slice]]]:
    """Images that are computed at a time, and blocks of their rows of queries."""
    batch, channels, height, width = query.shape
    limit = MAX_TILE_ELEMENTS if query.device.type == 'cpu' else MAX_TILE_ELEMENTS_GPU
    in_a_row = width * max(groups * taps.window**2, taps.stride**2 * max(channels, value.shape[1]))
    rows = min(height, max(1, limit // in_a_row))
    images = max(1, limit // (in_a_row * height))
    blocks = [slice(i, min(i + rows, height)) for i in range(0, height, rows)]
    for i in range(0, batch, images):
        yield slice(i, i + images), blocks


def _logits(query: Tensor, keys: Iterable[Tensor], inside: Tensor, position: Tensor | None, embedding: Tensor | None,
            similarity: Similarity, scale: float, outside: float | None) -> Tensor:
    """Of queries (B, G, D / G, h, w), the keys of each tap likewise, and ``inside`` (T, h, w) -> (B, G, T, h, w)."""
    logits = scale * torch.stack([similarity.value(query, key).sum(2) for key in keys], dim=2)
    if outside is not None:
        logits = logits.masked_fill(~inside, outside)
    if position is not None:
        logits = logits + float_or_better(position)[..., None, None]
    if embedding is not None:
        logits = logits + (float_or_better(embedding) @ query.flatten(3)).unflatten(3, query.shape[3:])
    return logits


def _weights(query: Tensor, padded: Tensor, inside: Tensor, position: Tensor | None, embedding: Tensor | None,
             taps: _Taps, similarity: str, scale: float, outside: float | None) -> Tensor:
    """(B, G, T, h, w) of queries (B, G, D / G, h, w) and what they see of the padded keys."""
    keys = taps.views(padded, *query.shape[3:])
    return _logits(query, keys, inside, position, embedding, SIMILARITIES[similarity], scale, outside).softmax(2)


def _weighted_sum(weights: Tensor, padded: Tensor, taps: _Taps) -> Tensor:
    """Weights (B, G, T, h, w) and what the queries see of the padded values -> (B, C, h, w)."""
    out = None
    views = taps.views(padded, *weights.shape[3:])
    for weight, value in zip(weights.unsqueeze(2).unbind(3), views, strict=True):
        out = value * weight if out is None else out.addcmul_(value, weight)
    assert out is not None
    return out.flatten(1, 2)


def _through_the_softmax(grad: Tensor, weights: Tensor, padded: Tensor, grad_padded: Tensor, taps: _Taps) -> Tensor:
    """Adds the gradients of the values to ``grad_padded``, and returns those of the logits, (B, G, T, h, w)."""
    grad_weights = torch.empty_like(weights)
    views = zip(taps.views(padded, *weights.shape[3:]), taps.views(grad_padded, *weights.shape[3:]), strict=True)
    for tap, (value, grad_value) in enumerate(views):
        torch.sum(grad * value, dim=2, out=grad_weights[:, :, tap])
        grad_value.addcmul_(grad, weights[:, :, None, tap])
    grad_weights -= (grad_weights * weights).sum(2, keepdim=True)
    return grad_weights.mul_(weights)


def _through_the_similarity(grad_logits: Tensor, query: Tensor, padded: Tensor, grad_query: Tensor,
                            grad_padded: Tensor, taps: _Taps, similarity: str) -> None:
    """Adds the gradients of the queries and of the keys that they see."""
    derivatives = SIMILARITIES[similarity].derivatives
    views = zip(taps.views(padded, *query.shape[3:]), taps.views(grad_padded, *query.shape[3:]), strict=True)
    for tap, (key, grad_key) in enumerate(views):
        grad = grad_logits[:, :, None, tap]
        by_query, by_key = derivatives(query, key)
        grad_query += grad * by_query
        grad_key += grad * by_key


def _reference(query: Tensor, key: Tensor, value: Tensor, position: Tensor | None, embedding: Tensor | None,
               window: int, groups: int, stride: int, dilation: int, similarity: str, scale: float,
               outside: float | None) -> Tensor:
    """:func:`attend_windows` in PyTorch's own operators: one tile."""
    taps = _Taps(window, stride, dilation)
    inside = taps.inside_map(slice(0, query.shape[2]), query, key)
    weights = _weights(_grouped(query, groups), taps.pad(_grouped(key, groups)), inside, position, embedding, taps,
                       similarity, scale, outside)
    return _weighted_sum(weights, taps.pad(_grouped(value, groups)), taps).to(value.dtype)


@attend_windows.register_fake
def _(query, key, value, *_arguments):
    return value.new_empty(*value.shape[:2], *query.shape[2:])


@attend_windows_backward.register_fake
def _(grad, query, key, value, position, embedding, window, groups, *_arguments):
    dtype = torch.promote_types(query.dtype, torch.float32)
    return (*(t.new_empty(t.shape) for t in (query, key, value)),
            query.new_empty(groups, window**2, dtype=dtype),
            query.new_empty(groups, window**2, query.shape[1] // groups, dtype=dtype))


def _save(ctx, inputs, output):
    ctx.save_for_backward(*inputs[:5])
    ctx.arguments = inputs[5:]


def _backward(ctx, grad):
    tensors, none = ctx.saved_tensors, (None, ) * len(ctx.arguments)
    if torch.is_grad_enabled():
        return differentiable_gradients(_reference, (*tensors, *ctx.arguments), (grad, ))
    gradients = attend_windows_backward(grad, *tensors, *ctx.arguments)
    fitting = (None if t is None else g.to(t.dtype) for t, g in zip(tensors, gradients, strict=True))
    return *fitting, *none


attend_windows.register_autograd(_backward, setup_context=_save)


@register_flops(attend_windows)
def _(query, key, value, position, embedding, window, *_args, out_shape=None, **_kwargs):
    widths = query[1] + value[1] + (query[1] if embedding else 0)
    return 2 * query[0] * query[2] * query[3] * window**2 * widths


@register_flops(attend_windows_backward)
def _(grad, query, key, value, position, embedding, window, *_args, out_shape=None, **_kwargs):
    widths = 3 * query[1] + 2 * value[1] + (3 * query[1] if embedding else 0)
    return 2 * query[0] * query[2] * query[3] * window**2 * widths
