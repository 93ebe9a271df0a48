"""EM attention, one line per equation, one loop per index."""

import math

import torch

EPS = 1e-6


def em_attention(x, bases, num_stages):
    """x (C, N), bases (C, K) of one image -> bases (C, K), responsibilities (N, K)."""
    channels, num_pixels = x.shape
    num_bases = bases.shape[1]
    z = torch.zeros(num_pixels, num_bases, dtype=x.dtype)
    for _ in range(num_stages):
        for n in range(num_pixels):
            logits = [sum(x[c, n] * bases[c, k] for c in range(channels)) for k in range(num_bases)]
            total = sum(math.exp(logit) for logit in logits)
            for k in range(num_bases):
                z[n, k] = math.exp(logits[k]) / total
        new = torch.zeros_like(bases)
        for k in range(num_bases):
            share = EPS + sum(z[n, k] for n in range(num_pixels))
            for c in range(channels):
                new[c, k] = sum(z[n, k] * x[c, n] for n in range(num_pixels)) / share
            length = EPS + math.sqrt(sum(new[c, k]**2 for c in range(channels)))
            new[:, k] /= length
        bases = new
    return bases, z
