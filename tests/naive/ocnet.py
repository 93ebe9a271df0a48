"""Object context, one loop per index."""

import math

import torch


def weights(query, key, scale):
    """query (H, W, D), key (H, W, D) -> (H, W, H, W): softmax over all keys."""
    height, width = query.shape[:2]
    everywhere = [(i, j) for i in range(height) for j in range(width)]
    return weights_within(query, key, scale, [everywhere])


def weights_within(query, key, scale, groups):
    """The softmax over the keys of the query's own group of positions."""
    height, width, channels = query.shape
    out = torch.zeros(height, width, height, width, dtype=query.dtype)
    for group in groups:
        for pixel in group:
            exponentials = []
            for other in group:
                logit = sum(query[pixel][d].item() * key[other][d].item() for d in range(channels))
                exponentials.append(math.exp(scale * logit))
            for other, exponential in zip(group, exponentials, strict=True):
                out[pixel][other] = exponential / sum(exponentials)
    return out


def blocks(height, width, number):
    """Positions of each block of a grid of ``number`` x ``number``, of as many as there are pixels if those are fewer.
    The last ones take the remainder."""
    groups = []
    for rows in _spans(height, min(number, height)):
        for columns in _spans(width, min(number, width)):
            groups.append([(i, j) for i in rows for j in columns])
    return groups


def _spans(size, number):
    step = size // number
    return [range(i * step, size if i == number - 1 else (i + 1) * step) for i in range(number)]


def attend(weights, value):
    """weights (H, W, H, W), value (H, W, E) -> (H, W, E)."""
    out = torch.zeros(*weights.shape[:2], value.shape[2], dtype=value.dtype)
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            for k in range(weights.shape[2]):
                for m in range(weights.shape[3]):
                    out[i, j] += weights[i, j, k, m] * value[k, m]
    return out


def max_pool(x, size):
    """(H, W, C) -> (H // size, W // size, C)."""
    out = torch.zeros(x.shape[0] // size, x.shape[1] // size, x.shape[2], dtype=x.dtype)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for c in range(x.shape[2]):
                out[i, j, c] = max(x[i * size + a, j * size + b, c] for a in range(size) for b in range(size))
    return out


def upsample(x, height, width):
    """(h, w, ...) -> (height, width, ...): bilinear with the corners aligned."""
    out = torch.zeros(height, width, *x.shape[2:], dtype=x.dtype)
    for i in range(height):
        for j in range(width):
            for k, share in _neighbours(i, height, x.shape[0]):
                for m, part in _neighbours(j, width, x.shape[1]):
                    out[i, j] += share * part * x[k, m]
    return out


def _neighbours(position, size, source_size):
    source = position * (source_size - 1) / (size - 1) if size > 1 else 0
    low = min(int(source), source_size - 1)
    high = min(low + 1, source_size - 1)
    return [(low, 1 - (source - low)), (high, source - low)]


def spread(weights, size, height, width):
    """Weights (..., h, w) of pooled keys -> (..., height, width), each shared by its size x size pixels."""
    out = torch.zeros(*weights.shape[:-2], height, width, dtype=weights.dtype)
    for i in range(weights.shape[-2] * size):
        for j in range(weights.shape[-1] * size):
            out[..., i, j] = weights[..., i // size, j // size] / size**2
    return out
