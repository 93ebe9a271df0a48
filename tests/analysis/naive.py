"""The counts of tests/analysis, pixel by pixel."""

from itertools import pairwise

import numpy as np


def neighbours(y, x, height, width, corners):
    steps = [(-1, 0), (1, 0), (0, -1), (0, 1)] + ([(-1, -1), (-1, 1), (1, -1), (1, 1)] if corners else [])
    return [(y + i, x + j) for i, j in steps if 0 <= y + i < height and 0 <= x + j < width]


def confusion(label, prediction, ignore, num_classes):
    found = np.zeros((num_classes, num_classes), int)
    for own, guess in zip(label.ravel(), prediction.ravel(), strict=True):
        if own != ignore:
            found[own, guess] += 1
    return found


def inner_boundary(region, distance):
    """Pixels of a region with a pixel outside of it at most ``distance`` rows and columns away."""
    height, width = region.shape
    return np.array([[bool(region[y, x]) and any(
        not (0 <= i < height and 0 <= j < width and region[i, j])
        for i in range(y - distance, y + distance + 1) for j in range(x - distance, x + distance + 1))
        for x in range(width)] for y in range(height)])


def near_border(label, ignore, distance):
    height, width = label.shape
    border = [(y, x) for y in range(height) for x in range(width) if label[y, x] != ignore and any(
        label[place] not in (label[y, x], ignore) for place in neighbours(y, x, height, width, corners=False))]
    return np.array([[label[y, x] != ignore and any(np.hypot(y - i, x - j) < distance for i, j in border)
                      for x in range(width)] for y in range(height)])


def components(region):
    left = {tuple(place) for place in np.argwhere(region)}
    while left:
        found, waiting = set(), [left.pop()]
        while waiting:
            place = waiting.pop()
            found.add(place)
            near = left.intersection(neighbours(*place, *region.shape, corners=True))
            left -= near
            waiting += near
        yield found


def calibration(confidence, right, bins):
    edges = [i / bins for i in range(bins + 1)]
    found = []
    for low, high in pairwise(edges):
        inside = (confidence >= low) & ((confidence < high) | (high == 1))
        found.append((inside.sum(), confidence[inside].sum(), right[inside].sum()))
    return np.array(found, float)
