"""The four pairwise functions of the Non-local block, one loop per index."""

import math

import torch


def weights(query, key, mode, scale=1.0, concat=None):
    """query (N, D), key (M, D) -> (N, M). ``concat`` (2 D): the weight w of 'concatenation'."""
    num_keys, width = key.shape
    out = torch.zeros(len(query), num_keys, dtype=query.dtype)
    for i in range(len(query)):
        for j in range(num_keys):
            if mode == 'concatenation':
                pair = sum(concat[d] * query[i, d] + concat[width + d] * key[j, d] for d in range(width))
                out[i, j] = max(pair, 0) / num_keys
            else:
                out[i, j] = sum(query[i, d] * key[j, d] for d in range(width))
        if mode == 'dot_product':
            out[i] /= num_keys
        elif mode != 'concatenation':
            exponentials = [math.exp(scale * f) for f in out[i]]
            out[i] = torch.tensor([e / sum(exponentials) for e in exponentials], dtype=out.dtype)
    return out


def attend(weights, value):
    """weights (N, M), value (M, E) -> (N, E)."""
    out = torch.zeros(len(weights), value.shape[1], dtype=value.dtype)
    for i in range(len(weights)):
        for j in range(len(value)):
            for e in range(value.shape[1]):
                out[i, e] += weights[i, j] * value[j, e]
    return out
