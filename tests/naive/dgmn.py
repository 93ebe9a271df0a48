"""Dynamic Graph Message Passing, one loop per index. Scalars are tensors, so that autograd runs through the loops."""

import math

import torch

TAPS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]


def inside(x, h, w):
    return 0 <= h < x.shape[1] and 0 <= w < x.shape[2]


def conv(x, weight, rate):
    """x (C, H, W), weight (O, C, 3, 3) -> (O, H, W)."""
    out = []
    for o in range(len(weight)):
        for h in range(x.shape[1]):
            for w in range(x.shape[2]):
                out.append(sum(weight[o, c, i + 1, j + 1] * x[c, h + rate * i, w + rate * j]
                               for c in range(len(x)) for i, j in TAPS if inside(x, h + rate * i, w + rate * j)))
    return torch.stack(out).reshape(len(weight), *x.shape[1:])


def sample(x, offsets, rate):
    """x (C, H, W), offsets (18, H, W) -> (C, 9, H, W)."""
    out = []
    for c in range(len(x)):
        for k, (i, j) in enumerate(TAPS):
            for h in range(x.shape[1]):
                for w in range(x.shape[2]):
                    row, column = h + rate * i + offsets[2 * k, h, w], w + rate * j + offsets[2 * k + 1, h, w]
                    top, left = math.floor(row.item()), math.floor(column.item())
                    out.append(sum(((1 - abs(row - a)) * (1 - abs(column - b)) * x[c, a, b]
                                    for a in (top, top + 1) for b in (left, left + 1) if inside(x, a, b)),
                                   x.new_zeros(())))
    return torch.stack(out).reshape(len(x), 9, *x.shape[1:])


def conv_of_samples(samples, weight):
    """samples (C, 9, H, W), weight (O, C, 3, 3) -> (O, H, W)."""
    channels, _, height, width = samples.shape
    out = []
    for o in range(len(weight)):
        for h in range(height):
            for w in range(width):
                out.append(sum(weight[o, c, i + 1, j + 1] * samples[c, k, h, w]
                               for c in range(channels) for k, (i, j) in enumerate(TAPS)))
    return torch.stack(out).reshape(len(weight), height, width)


def softmax(logits):
    """(9, H, W), over the taps."""
    exponentials = [logit.exp() for logit in logits]
    return torch.stack([e / sum(exponentials) for e in exponentials])


def tap_weights(dynamic, groups, mode, rigorous):
    """dynamic (9 G + 9 or 9 G, H, W) -> (G, 9, H, W)."""
    affinity = dynamic[9 * groups:]
    weights = []
    for g in range(groups):
        filters = dynamic[9 * g:9 * g + 9]
        if mode != 'deformatt':
            weights.append(softmax(filters))
        elif rigorous:
            weights.append(filters * softmax(affinity))
        else:
            weights.append(softmax(filters) / (1 + (-affinity).exp()))
    return torch.stack(weights)


def message(samples, weights):
    """samples (C, 9, H, W), weights (G, 9, H, W) -> (C, H, W)."""
    channels, _, height, width = samples.shape
    per_group = channels // len(weights)
    out = []
    for c in range(channels):
        for h in range(height):
            for w in range(width):
                out.append(sum(samples[c, k, h, w] * weights[c // per_group, k, h, w] for k in range(9)))
    return torch.stack(out).reshape(channels, height, width)


def rigorous_message(x, offset_weight, filter_weight, rate, groups, mode):
    """x (C, H, W) of one image -> (C, H, W). No ``offset_weight`` in mode 'none'."""
    offsets = x.new_zeros(18, *x.shape[1:]) if mode == 'none' else conv(x, offset_weight, rate)
    samples = sample(x, offsets, rate)
    return message(samples, tap_weights(conv_of_samples(samples, filter_weight), groups, mode, rigorous=True))


def fast_message(x, weight, rate, groups, mode):
    """x (C, H, W) of one image -> (C, H, W)."""
    dynamic = conv(x, weight, rate)
    filters = dynamic[:9 * groups]
    if mode == 'none':
        samples = sample(x, x.new_zeros(18, *x.shape[1:]), rate)
    else:
        samples = sample(x, dynamic[9 * groups:9 * groups + 18], rate)
        filters = torch.cat([filters, dynamic[9 * groups + 18:]])
    return message(samples, tap_weights(filters, groups, mode, rigorous=False))
