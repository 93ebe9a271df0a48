"""Global reasoning, one loop per index."""

import torch


def global_reasoning(states, projection, adjacency, bias, update, normalize):
    """states (s, N), projection (n, N), adjacency (n, n), bias (n,), update (s, s) -> (s, N)."""
    (num_states, num_pixels), num_nodes = states.shape, len(projection)
    nodes, messages, updated = (torch.zeros(num_states, num_nodes, dtype=states.dtype) for _ in range(3))
    for c in range(num_states):
        for n in range(num_nodes):
            nodes[c, n] = sum(states[c, i] * projection[n, i] for i in range(num_pixels))
            if normalize:
                nodes[c, n] /= num_pixels
    for c in range(num_states):
        for n in range(num_nodes):
            heard = sum(adjacency[n, k] * nodes[c, k] for k in range(num_nodes))
            messages[c, n] = (nodes[c, n] + heard + bias[n]).clamp(min=0)
    for c in range(num_states):
        for n in range(num_nodes):
            updated[c, n] = sum(update[c, d] * messages[d, n] for d in range(num_states))
    out = torch.zeros_like(states)
    for c in range(num_states):
        for i in range(num_pixels):
            out[c, i] = sum(updated[c, n] * projection[n, i] for n in range(num_nodes))
    return out
