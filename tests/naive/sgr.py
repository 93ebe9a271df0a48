"""Symbolic graph reasoning, one loop per index."""

import torch


def normalize_adjacency(adjacency):
    """D^-1/2 (A + I) D^-1/2, (M, M)."""
    num_nodes = len(adjacency)
    looped, out = adjacency.clone(), torch.zeros_like(adjacency)
    for n in range(num_nodes):
        looped[n, n] += 1
    for n in range(num_nodes):
        for m in range(num_nodes):
            out[n, m] = looped[n, m] / (sum(looped[n]) * sum(looped[m]))**0.5
    return out


def softmax(logits):
    exponentials = [torch.exp(logit - max(logits)) for logit in logits]
    return [e / sum(exponentials) for e in exponentials]


def votes(pixels, vote_weight):
    """pixels (N, C), vote_weight (M, C) -> (N, M): how a pixel shares its vote among the nodes."""
    return torch.stack([torch.stack(softmax([sum(row * pixel) for row in vote_weight])) for pixel in pixels])


def nodes(pixels, shares, state_weight, normalize):
    """pixels (N, C), shares (N, M), state_weight (D, C) -> (M, D), before the activation."""
    out = []
    for m in range(shares.shape[1]):
        heard = sum(shares[i, m] * (state_weight @ pixels[i]) for i in range(len(pixels)))
        out.append(heard / len(pixels) if normalize else heard)
    return torch.stack(out)


def evolve(states, adjacency, layers, embeddings):
    """states (M, D), adjacency (M, M) normalised, layers of (D, D + K) and (D, D), embeddings (M, K) or None."""
    states = states.clamp(min=0)
    if embeddings is not None:
        states = torch.stack([torch.cat([state, symbol]) for state, symbol in zip(states, embeddings, strict=True)])
    for layer in layers:
        messages = [layer @ state for state in states]
        states = torch.stack([sum(adjacency[n, m] * messages[m] for m in range(len(messages))).clamp(min=0)
                              for n in range(len(messages))])
    return states


def bilinear(state, pixel, weight):
    """state (D,), pixel (C,), weight (D, C)."""
    return sum(state[d] * weight[d, c] * pixel[c] for d in range(len(state)) for c in range(len(pixel)))


def additive(state, pixel, weight):
    """The product of weight (D + C,) and the concatenation of state (D,) and pixel (C,)."""
    return sum(weight * torch.cat([state, pixel]))


def mapping(pixels, states, compat, weight):
    """pixels (N, C), states (M, D) -> (N, M): how a pixel mixes the nodes. ``compat`` is one of the two above."""
    return torch.stack([torch.stack(softmax([compat(state, pixel, weight) for state in states])) for pixel in pixels])


def mixtures(mixing, states, out_weight):
    """mixing (N, M), states (M, D), out_weight (C, D) -> (N, C)."""
    return torch.stack([sum(share * (out_weight @ state) for share, state in zip(row, states, strict=True))
                        for row in mixing]).clamp(min=0)
