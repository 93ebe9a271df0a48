"""Attention with relative embeddings in a window, one loop per pixel, tap and head."""

import torch


def windowed(query, key, value, row_embedding, column_embedding, dilation, border):
    """query and key (heads d, H, W), value (C, H, W), embeddings (heads, d / 2, K) -> (C, H, W)."""
    heads, _, window = row_embedding.shape
    height, width = key.shape[1:]
    query, key, value = (x.unflatten(0, (heads, -1)) for x in (query, key, value))
    out = torch.zeros_like(value)
    for head in range(heads):
        for row in range(height):
            for column in range(width):
                q, weights, total = query[head, :, row, column], 0, 0
                for i in range(window):
                    for j in range(window):
                        y, x = row + (i - window // 2) * dilation, column + (j - window // 2) * dilation
                        inside = 0 <= y < height and 0 <= x < width
                        if border == 'exclude' and not inside:
                            continue
                        r = torch.cat([row_embedding[head, :, i], column_embedding[head, :, j]])
                        weight = torch.exp(q @ (key[head, :, y, x] + r if inside else r))
                        weights = weights + weight
                        total = total + weight * (value[head, :, y, x] if inside else 0)
                out[head, :, row, column] = total / weights
    return out.flatten(0, 1)


def average_pool(x, size):
    """(C, H, W) -> (C, ceil(H / size), ceil(W / size)); at the end of a side the mean of what there is."""
    rows, columns = (range(0, side, size) for side in x.shape[1:])
    return torch.stack([torch.stack([x[:, i:i + size, j:j + size].mean((1, 2)) for j in columns], 1) for i in rows], 1)
