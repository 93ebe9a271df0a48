"""The two attentions of DANet, one loop per index."""

import math

import torch


def position_weights(query, key):
    """query, key (N, D) -> (N, N): how much pixel i draws on pixel j."""
    num_pixels, width = key.shape
    out = torch.zeros(num_pixels, num_pixels, dtype=query.dtype)
    for i in range(num_pixels):
        exponentials = [math.exp(sum(query[i, d] * key[j, d] for d in range(width))) for j in range(num_pixels)]
        for j in range(num_pixels):
            out[i, j] = exponentials[j] / sum(exponentials)
    return out


def channel_weights(x):
    """x (C, N) -> (C, C): how much channel a draws on channel c; the less alike the two, the more."""
    channels, num_pixels = x.shape
    out = torch.zeros(channels, channels, dtype=x.dtype)
    for a in range(channels):
        energy = [sum(x[a, n] * x[c, n] for n in range(num_pixels)) for c in range(channels)]
        exponentials = [math.exp(max(energy) - e) for e in energy]
        for c in range(channels):
            out[a, c] = exponentials[c] / sum(exponentials)
    return out


def attend(weights, value):
    """weights (M, M), value (M, E) -> (M, E)."""
    out = torch.zeros_like(value)
    for i in range(len(weights)):
        for j in range(len(value)):
            for e in range(value.shape[1]):
                out[i, e] += weights[i, j] * value[j, e]
    return out
