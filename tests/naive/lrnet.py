"""Local relation, one loop per pixel, tap and group."""

import torch

SIMILARITIES = {
    'product': lambda q, k: q * k,
    'key': lambda q, k: k,
    'difference': lambda q, k: -abs(q - k),
    'normalized_difference': lambda q, k: -abs(q - k) / (abs(q) + abs(k) + 1),
    'normalized_squared_difference': lambda q, k: -(q - k)**2 / (abs(q * k) + 1),
    'squared_difference': lambda q, k: -(q - k)**2,
}


def local_relation(query, key, value, position, stride, dilation, scale, similarity, border):
    """query (D, h, w), key (D, H, W), value (C, H, W), position (G, K, K) -> (C, h, w)."""
    groups, window, _ = position.shape
    height, width = key.shape[1:]
    query, key, value = (x.unflatten(0, (groups, -1)) for x in (query, key, value))
    out = torch.zeros(groups, value.shape[1], *query.shape[2:], dtype=value.dtype)
    for g in range(groups):
        for row in range(query.shape[2]):
            for column in range(query.shape[3]):
                weights, values = [], []
                for i in range(window):
                    for j in range(window):
                        y = row * stride + (i - window // 2) * dilation
                        x = column * stride + (j - window // 2) * dilation
                        inside = 0 <= y < height and 0 <= x < width
                        if border == 'exclude' and not inside:
                            continue
                        there = key[g, :, y, x] if inside else torch.zeros_like(key[g, :, 0, 0])
                        logit = scale * SIMILARITIES[similarity](query[g, :, row, column], there).sum()
                        if not inside and border != 'zero':
                            logit = border
                        weights.append(torch.exp(logit + position[g, i, j]))
                        values.append(value[g, :, y, x] if inside else torch.zeros_like(value[g, :, 0, 0]))
                out[g, :, row, column] = sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
    return out.flatten(0, 1)


def prior(window, normalize, first, second):
    """Logits (G, K, K) of a perceptron, two pairs of weight and bias, on where a tap lies from the centre."""
    (first_weight, first_bias), (second_weight, second_bias) = first, second
    radius = window // 2
    out = torch.zeros(len(second_bias), window, window, dtype=first_weight.dtype)
    for i in range(window):
        for j in range(window):
            offset = torch.tensor([j - radius, i - radius], dtype=first_weight.dtype)
            if normalize:
                offset = offset / max(radius, 1)
            out[:, i, j] = second_weight @ (first_weight @ offset + first_bias).clamp(min=0) + second_bias
    return out
