"""The two attentions of ISA over a padded map, one loop per index."""

import math

import torch


def related(pixel, other, factor, long_range):
    """Whether two positions (row, column) share their place inside the cell (long range) or the cell (short range)."""
    if long_range:
        return all(p % f == o % f for p, o, f in zip(pixel, other, factor, strict=True))
    return all(p // f == o // f for p, o, f in zip(pixel, other, factor, strict=True))


def weights(query, key, factor, long_range, scale, without=()):
    """query, key (H, W, D) -> (H, W, H, W). Keys at the positions in ``without`` get no weight, as long as a query has
    others."""
    height, width, channels = query.shape
    out = torch.zeros(height, width, height, width, dtype=query.dtype)
    positions = [(i, j) for i in range(height) for j in range(width)]
    for pixel in positions:
        group = [other for other in positions if related(pixel, other, factor, long_range)]
        group = [other for other in group if other not in without] or group
        exponentials = []
        for other in group:
            logit = sum(query[pixel][d].item() * key[other][d].item() for d in range(channels))
            exponentials.append(math.exp(scale * logit))
        for other, exponential in zip(group, exponentials, strict=True):
            out[pixel][other] = exponential / sum(exponentials)
    return out


def attend(weights, value):
    """weights (H, W, H, W), value (H, W, E) -> (H, W, E)."""
    out = torch.zeros(*weights.shape[:2], value.shape[2], dtype=value.dtype)
    for i in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            for k in range(weights.shape[2]):
                for m in range(weights.shape[3]):
                    out[i, j] += weights[i, j, k, m] * value[k, m]
    return out


def padding(size, factor):
    """Zeros before and behind an axis that make its length a multiple of ``factor``; an odd one goes behind."""
    missing = 0
    while (size + missing) % factor:
        missing += 1
    return missing // 2, missing - missing // 2


def compose(short, long):
    """Short-range weights times the long-range weights of each of their pixels, both (H, W, H, W) -> (H, W, H, W)."""
    height, width = short.shape[:2]
    out = torch.zeros_like(short)
    for i in range(height):
        for j in range(width):
            for k in range(height):
                for m in range(width):
                    out[i, j] += short[i, j, k, m] * long[k, m]
    return out
