"""Fusing predictions at several scales, one loop per index. Maps are (H, W, C)."""

import math

import torch


def resize(x, height, width, align_corners=False):
    """Bilinear, between the centres of pixels or between the corners."""
    out = torch.zeros(height, width, x.shape[2], dtype=x.dtype)
    for i in range(height):
        for j in range(width):
            rows = _neighbours(i, height, x.shape[0], align_corners)
            columns = _neighbours(j, width, x.shape[1], align_corners)
            for row, of_row in rows:
                for column, of_column in columns:
                    out[i, j] += of_row * of_column * x[row, column]
    return out


def _neighbours(position, size, old_size, align_corners):
    """The two places that a position lies between in a side of ``old_size``, with their shares."""
    if align_corners:
        at = position * (old_size - 1) / (size - 1) if size > 1 else 0.0
    else:
        at = min(max((position + 0.5) * old_size / size - 0.5, 0.0), old_size - 1.0)
    first = min(int(at), old_size - 1)
    return [(first, 1 - (at - first)), (min(first + 1, old_size - 1), at - first)]


def hierarchical(scales, logits, attention, align_corners=False):
    """From the highest scale down: logits (H_s, W_s, C), attention (H_s, W_s, 1) -> (H, W, C)."""
    fused = logits[0]
    for scale, own, weight in list(zip(scales, logits, attention, strict=True))[1:]:
        if scale >= 1:
            above = resize(fused, *own.shape[:2], align_corners)
            fused = _each(own, lambda i, j, own=own, weight=weight, above=above:
                          weight[i, j, 0] * own[i, j] + (1 - weight[i, j, 0]) * above[i, j])
        else:
            product = _each(own, lambda i, j, own=own, weight=weight: weight[i, j, 0] * own[i, j])
            product = resize(product, *fused.shape[:2], align_corners)
            weight = resize(weight, *fused.shape[:2], align_corners)
            fused = _each(fused, lambda i, j, weight=weight, product=product, fused=fused:
                          product[i, j] + (1 - weight[i, j, 0]) * fused[i, j])
    return fused


def hierarchical_weights(scales, attention, align_corners=False):
    """How much of each scale reaches the result: that of logits that are one at this scale and zero at the others."""
    weights = []
    for chosen in scales:
        logits = [torch.full_like(map_, float(scale == chosen)) for scale, map_ in zip(scales, attention, strict=True)]
        weights.append(hierarchical(scales, logits, attention, align_corners))
    return torch.cat(weights, dim=2)


def softmax(logits, scores, height, width, align_corners=False):
    """logits of each scale (h_s, w_s, C), scores (h, w, S) -> (height, width, C)."""
    weights = resize(_softmax(scores), height, width, align_corners)
    resized = [resize(map_, height, width, align_corners) for map_ in logits]
    return _each(resized[0], lambda i, j: sum(weights[i, j, s] * map_[i, j] for s, map_ in enumerate(resized)))


def _softmax(scores):
    out = torch.zeros_like(scores)
    for i in range(scores.shape[0]):
        for j in range(scores.shape[1]):
            total = sum(torch.exp(score) for score in scores[i, j])
            for s in range(scores.shape[2]):
                out[i, j, s] = torch.exp(scores[i, j, s]) / total
    return out


def _each(like, value):
    """A map of the height and width of ``like``, pixel by pixel."""
    return torch.stack([torch.stack([value(i, j) for j in range(like.shape[1])]) for i in range(like.shape[0])])


def scaled(side, scale):
    """``scale`` as it is written, in decimals: rounded down."""
    return max(math.floor(side * round(scale * 1000) / 1000 + 1e-9), 1)
