"""What the oracles of whole blocks share: the loops of ``tests/naive`` take other layouts than a block.

An oracle gets a block in evaluation mode and an image (1, C, H, W), both in float64.
"""

import torch.nn.functional as F

from tests.naive.ocnet import upsample


def last(x):
    return x[0].permute(1, 2, 0)


def first(x):
    return x.permute(2, 0, 1)[None]


def pixels(x):
    """(1, C, H, W) -> (N, C)."""
    return x[0].flatten(1).T


def unflatten(x, like):
    """(N, C) -> (1, C, H, W) with the height and width of ``like``."""
    return x.T.reshape(1, -1, *like.shape[2:])


def pool(x, size):
    """By a smaller pool along a side that is shorter than ``size``."""
    return F.max_pool2d(x, [min(size, side) for side in x.shape[2:]])


def resize(x, size):
    return first(upsample(last(x), *size))
