"""Graph convolution unit, one loop per index."""

import torch

EPS = 1e-6


def residuals(pixels, anchors, sigmas):
    """pixels (N, C), anchors and sigmas (K, C) -> (N, K, C)."""
    return torch.stack([torch.stack([(pixel - anchor) / sigma for anchor, sigma in zip(anchors, sigmas, strict=True)])
                        for pixel in pixels])


def assignment(of_pixels):
    """Residuals (N, K, C) -> (N, K)."""
    out = []
    for rows in of_pixels:
        distances = [sum(row * row) for row in rows]
        likelihoods = [torch.exp((min(distances) - distance) / 2) for distance in distances]
        out.append(torch.stack([likelihood / sum(likelihoods) for likelihood in likelihoods]))
    return torch.stack(out)


def nodes(of_pixels, shares):
    """Residuals (N, K, C) and the assignment (N, K) -> nodes of unit length (K, C), and what scales a node's sum."""
    units, scales = [], []
    for k in range(shares.shape[1]):
        total = sum(shares[i, k] * of_pixels[i, k] for i in range(len(shares)))
        mass = sum(shares[i, k] for i in range(len(shares)))
        length = sum((total / (mass + EPS))**2)**0.5
        scales.append(1 / (mass + EPS) / (length + EPS))
        units.append(total * scales[-1])
    return torch.stack(units), torch.stack(scales)


def similarity(states):
    """Nodes (K, C) -> (K, K)."""
    return torch.stack([torch.stack([sum(a * b) for b in states]) for a in states])


def convolve(states, weight):
    """Nodes (K, C), weight (C, D) -> (K, D)."""
    graph = similarity(states)
    return torch.stack([sum(graph[k, m] * (states[m] @ weight) for m in range(len(states)))
                        for k in range(len(states))]).clamp(min=0)


def graph_convolution_unit(pixels, anchors, sigmas, weight):
    """pixels (N, C), anchors and sigmas (K, C), weight (C, D) -> (N, D)."""
    of_pixels = residuals(pixels, anchors, sigmas)
    shares = assignment(of_pixels)
    states = convolve(nodes(of_pixels, shares)[0], weight)
    return torch.stack([sum(share * state for share, state in zip(row, states, strict=True)) for row in shares])


def attention(pixels, anchors, sigmas):
    """pixels (N, C) -> (N, N): what the node states at a pixel draw on the residuals of every other, without weights.

    Only as far as the nodes say so: the sum over both nodes of their assignments and their similarity.
    """
    of_pixels = residuals(pixels, anchors, sigmas)
    shares = assignment(of_pixels)
    states, scales = nodes(of_pixels, shares)
    graph = similarity(states)
    pairs = [(k, m) for k in range(len(states)) for m in range(len(states))]
    return torch.stack([torch.stack([sum(shares[p, k] * graph[k, m] * scales[m] * shares[j, m] for k, m in pairs)
                                     for j in range(len(pixels))]) for p in range(len(pixels))])
