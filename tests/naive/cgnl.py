"""Compact generalized non-local attention: the kernel of every pair of channels and pixels, one loop per index."""

import math

import torch

GAMMA = 1e-4


def kernel(query, key, name, order):
    """Of numbers, or tensors of them."""
    if name == 'dot_product':
        return query * key
    constant = math.exp(-GAMMA) * math.exp(-GAMMA)
    return sum(constant * (2 * GAMMA * query * key)**q / math.factorial(q) for q in range(order + 1))


def parts(query, key, value, num_groups, name, order, use_scale):
    """query, key, value (N, D) -> (N, N, D): what channel c of pixel i draws from pixel j, at [i, j, c]."""
    num_pixels, width = query.shape
    size = width // num_groups
    out = query.new_zeros(num_pixels, num_pixels, width)
    for i in range(num_pixels):
        for c in range(width):
            for d in range(c // size * size, (c // size + 1) * size):
                # All j at once, or this takes minutes.
                out[i, :, c] += kernel(query[i, c], key[:, d], name, order) * value[:, d]
    return out / math.sqrt(size * num_pixels) if use_scale else out


def attend(*args):
    """As :func:`parts` takes them -> (N, D)."""
    return parts(*args).sum(dim=1)


def attention_map(drawn):
    """What :func:`parts` returns -> (N, N): the weight of pixel j for pixel i, at [i, j]."""
    num_pixels, _, width = drawn.shape
    out = torch.zeros(num_pixels, num_pixels, dtype=drawn.dtype)
    for i in range(num_pixels):
        for c in range(width):
            sign = 1 if drawn[i, :, c].sum() >= 0 else -1
            out[i] += sign * drawn[i, :, c] / width
    return out
