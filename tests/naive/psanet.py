"""Point-wise spatial attention, one loop per index."""

import torch


def relative_to_absolute(logits, mask_size):
    """logits (H, W, M) of every pixel for the positions of a mask -> (N, N), of pixel i for pixel j."""
    height, width, _ = logits.shape
    out = torch.zeros(height * width, height * width, dtype=logits.dtype)
    for row in range(height):
        for column in range(width):
            for a in range(mask_size[0]):
                for b in range(mask_size[1]):
                    other_row = row + a - (mask_size[0] - 1) // 2
                    other_column = column + b - (mask_size[1] - 1) // 2
                    if 0 <= other_row < height and 0 <= other_column < width:
                        out[row * width + column, other_row * width + other_column] = (
                            logits[row, column, a * mask_size[1] + b])
    return out


def attend(features, logits, direction):
    """features (D, N), logits (N, N) of predictor i for pixel j -> (D, N)."""
    num_pixels = features.shape[1]
    out = torch.zeros_like(features)
    for receiver in range(num_pixels):
        said = logits[receiver] if direction == 'collect' else logits[:, receiver]
        total = sum(torch.exp(logit) for logit in said)
        for source in range(num_pixels):
            out[:, receiver] += torch.exp(said[source]) / total * features[:, source]
    return out
