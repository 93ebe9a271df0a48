"""Criss-cross attention, one loop per index."""

import math

import torch


def weights(query, key):
    """query, key (D, H, W) -> (H, W, H, W): [h, w, i, j] is how much pixel (h, w) draws on pixel (i, j)."""
    width_of_keys, height, width = key.shape
    out = torch.zeros(height, width, height, width, dtype=query.dtype)
    for h in range(height):
        for w in range(width):
            cross = {(h, j) for j in range(width)} | {(i, w) for i in range(height)}
            exponentials = {(i, j): math.exp(sum(query[d, h, w] * key[d, i, j] for d in range(width_of_keys)))
                            for i, j in cross}
            for i, j in cross:
                out[h, w, i, j] = exponentials[i, j] / sum(exponentials.values())
    return out


def attend(weights, value):
    """weights (H, W, H, W), value (C, H, W) -> (C, H, W)."""
    channels, height, width = value.shape
    out = torch.zeros_like(value)
    for c in range(channels):
        for h in range(height):
            for w in range(width):
                for i in range(height):
                    for j in range(width):
                        out[c, h, w] += weights[h, w, i, j] * value[c, i, j]
    return out


def compose(last, first):
    """The weights of two passes, the second on what the first gives: (H, W, H, W)."""
    height, width = last.shape[:2]
    out = torch.zeros_like(last)
    for h in range(height):
        for w in range(width):
            for i in range(height):
                for j in range(width):
                    out[h, w] += last[h, w, i, j] * first[i, j]
    return out
