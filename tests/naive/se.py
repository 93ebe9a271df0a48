"""Squeeze-and-Excitation, one loop per index."""

import math

import torch


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def mean(channel):
    """(H, W) -> number."""
    height, width = channel.shape
    return sum(channel[h, w].item() for h in range(height) for w in range(width)) / (height * width)


def linear(weight, bias, values):
    """weight (O, I) and bias (O,) or None of numbers."""
    return [sum(weight[o, i].item() * values[i] for i in range(len(values))) + (0 if bias is None else bias[o].item())
            for o in range(len(weight))]


def mlp(values, first, second):
    """Two layers, each (weight, bias), with ReLU between them."""
    return linear(*second, [max(value, 0) for value in linear(*first, values)])


def squeeze_excitation(x, first, second, scale=1):
    """x (C, H, W)."""
    logits = mlp([mean(channel) for channel in x], first, second)
    return torch.stack([channel * (scale * sigmoid(logit)) for channel, logit in zip(x, logits, strict=True)])
