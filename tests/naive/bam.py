"""BAM's product of the two logits, one loop per index."""

import torch

from tests.naive.se import sigmoid


def gated(x, channel, spatial, centred):
    """x (C, H, W), logits (C,) and (H, W)."""
    out = torch.zeros_like(x)
    for c in range(x.shape[0]):
        for h in range(x.shape[1]):
            for w in range(x.shape[2]):
                gate = sigmoid(channel[c].item() * spatial[h, w].item())
                out[c, h, w] = x[c, h, w] * (2 * gate if centred else 1 + gate)
    return out
