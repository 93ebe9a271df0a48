"""The Adaptive Context Module, one loop per index."""

import math

import torch


def windows(size, num_cells):
    """Adaptive pooling along one side: the first pixel of every cell and the one after its last."""
    return [(i * size // num_cells, -((-(i + 1) * size) // num_cells)) for i in range(num_cells)]


def pool(x, scale):
    """x (C, H, W) -> means (C, scale * scale) over adaptive windows, cells in row-major order."""
    channels, height, width = x.shape
    out = torch.zeros(channels, scale * scale, dtype=x.dtype)
    for c in range(channels):
        for i, (top, bottom) in enumerate(windows(height, scale)):
            for j, (left, right) in enumerate(windows(width, scale)):
                total = sum(x[c, h, w] for h in range(top, bottom) for w in range(left, right))
                out[c, i * scale + j] = total / ((bottom - top) * (right - left))
    return out


def adaptive_context(logits, cells):
    """logits (S, H, W), cells (C, S) -> (C, H, W)."""
    num_cells, height, width = logits.shape
    out = torch.zeros(len(cells), height, width, dtype=cells.dtype)
    for c in range(len(cells)):
        for h in range(height):
            for w in range(width):
                for s in range(num_cells):
                    out[c, h, w] += cells[c, s] / (1 + math.exp(-logits[s, h, w]))
    return out
