"""Double attention, one loop per index."""

import torch


def double_attention(values, gather_logits, distribute_logits):
    """values (m, N), logits (n, N) -> (m, N)."""
    (width, num_pixels), num_maps = values.shape, len(gather_logits)
    maps, vectors = torch.zeros_like(gather_logits), torch.zeros_like(distribute_logits)
    for n in range(num_maps):
        for i in range(num_pixels):
            maps[n, i] = gather_logits[n, i].exp() / sum(gather_logits[n, j].exp() for j in range(num_pixels))
            vectors[n, i] = distribute_logits[n, i].exp() / sum(distribute_logits[k, i].exp() for k in range(num_maps))
    descriptors = torch.zeros(width, num_maps, dtype=values.dtype)
    for c in range(width):
        for n in range(num_maps):
            descriptors[c, n] = sum(values[c, i] * maps[n, i] for i in range(num_pixels))
    out = torch.zeros_like(values)
    for c in range(width):
        for i in range(num_pixels):
            out[c, i] = sum(descriptors[c, n] * vectors[n, i] for n in range(num_maps))
    return out
