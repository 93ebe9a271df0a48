"""CBAM, one loop per index."""

import math

import torch

from tests.naive.se import mean, mlp, sigmoid


def pool(name, channel):
    """(H, W) -> number."""
    values = [channel[h, w].item() for h in range(channel.shape[0]) for w in range(channel.shape[1])]
    if name == 'avg':
        return mean(channel)
    if name == 'max':
        return max(values)
    if name == 'lp':
        return math.sqrt(sum(value * value for value in values))
    return math.log(sum(math.exp(value) for value in values))


def channel_gate(x, pools, first, second, scale=1):
    """x (C, H, W), two layers as in ``mlp`` -> gated x."""
    logits = [0] * len(x)
    for name in pools:
        more = mlp([pool(name, channel) for channel in x], first, second)
        logits = [a + b for a, b in zip(logits, more, strict=True)]
    return torch.stack([channel * (scale * sigmoid(logit)) for channel, logit in zip(x, logits, strict=True)])


def spatial_logits(x, weight):
    """x (C, H, W), weight (2, K, K), for the maximum and the mean over the channels -> (H, W)."""
    channels, height, width = x.shape
    radius = weight.shape[1] // 2
    out = torch.zeros(height, width, dtype=x.dtype)
    for h in range(height):
        for w in range(width):
            for i in range(-radius, radius + 1):
                for j in range(-radius, radius + 1):
                    if 0 <= h + i < height and 0 <= w + j < width:
                        values = [x[c, h + i, w + j].item() for c in range(channels)]
                        out[h, w] += weight[0, i + radius, j + radius] * max(values)
                        out[h, w] += weight[1, i + radius, j + radius] * sum(values) / channels
    return out
