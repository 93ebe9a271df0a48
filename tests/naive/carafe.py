"""CARAFE's reassembly and its kernels, one loop per index."""

import math

import torch


def carafe(x, masks, kernel_size, groups, scale_factor):
    """x (C, H, W), masks (G k^2, s H, s W) -> (C, s H, s W)."""
    channels, height, width = x.shape
    radius = kernel_size // 2
    out = torch.zeros(channels, scale_factor * height, scale_factor * width, dtype=x.dtype)
    for c in range(channels):
        group = c // (channels // groups)
        for row in range(scale_factor * height):
            for column in range(scale_factor * width):
                for i in range(kernel_size):
                    for j in range(kernel_size):
                        y, z = row // scale_factor + i - radius, column // scale_factor + j - radius
                        if 0 <= y < height and 0 <= z < width:
                            tap = (group * kernel_size + i) * kernel_size + j
                            out[c, row, column] += x[c, y, z] * masks[tap, row, column]
    return out


def masks(logits, kernel_size, groups, scale_factor):
    """Encoder's output (G k^2 s^2, H, W) -> (G k^2, s H, s W)."""
    height, width = logits.shape[-2:]
    taps = kernel_size**2
    out = torch.zeros(groups * taps, scale_factor * height, scale_factor * width, dtype=logits.dtype)
    for group in range(groups):
        for row in range(scale_factor * height):
            for column in range(scale_factor * width):
                exponentials = []
                for tap in range(taps):
                    channel = (group * taps + tap) * scale_factor + row % scale_factor
                    channel = channel * scale_factor + column % scale_factor
                    exponentials.append(math.exp(logits[channel, row // scale_factor, column // scale_factor]))
                for tap in range(taps):
                    out[group * taps + tap, row, column] = exponentials[tap] / sum(exponentials)
    return out
