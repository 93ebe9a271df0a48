"""The latent graph, one loop per index."""


import torch


def unit(x, dim):
    """x (A, B): its columns (dim 0) or rows (dim 1) divided by their length."""
    vectors = x.T if dim == 0 else x
    lengths = [torch.sqrt(sum(value * value for value in vector)) for vector in vectors]
    out = torch.stack([vector / length if length > 1e-12 else vector * 1e12
                       for vector, length in zip(vectors, lengths, strict=True)])
    return out.T if dim == 0 else out


def node_weights(nodes):
    """nodes (d, D) -> (d, d)."""
    count, width = nodes.shape
    directions, rows = unit(nodes, 1), []
    for n in range(count):
        cosines = [sum(directions[n, k] * directions[m, k] for k in range(width)) for m in range(count)]
        exponentials = [torch.exp(cosine) for cosine in cosines]
        rows.append(torch.stack([e / sum(exponentials) for e in exponentials]))
    return torch.stack(rows)


def pixel_weights(features, gather, distribute):
    """features (D, N), gather and distribute (d, N), all of unit length as the block has them -> (N, N)."""
    (width, num_pixels), count = features.shape, len(gather)
    nodes = torch.stack([torch.stack([sum(gather[n, j] * features[k, j] for j in range(num_pixels))
                                      for k in range(width)]) for n in range(count)])
    between = node_weights(nodes)
    out = torch.zeros(num_pixels, num_pixels, dtype=features.dtype)
    for i in range(num_pixels):
        for n in range(count):
            for m in range(count):
                out[i] += distribute[n, i] * between[n, m] * gather[m]
    return out


def latent_attention(features, gather, distribute):
    """As :func:`pixel_weights` takes them -> (D, N): never through the nodes' features."""
    weights, out = pixel_weights(features, gather, distribute), torch.zeros_like(features)
    for i in range(features.shape[1]):
        for j in range(features.shape[1]):
            out[:, i] += weights[i, j] * features[:, j]
    return out
