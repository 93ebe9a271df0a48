"""Means over the images, with their spread."""

from dataclasses import dataclass

import numpy as np

from mmseg_attn.analysis.summary import iou

from .images import ImageContext
from .shares import DISTANCES


@dataclass
class Summary:
    """Over all images. NaN where there is nothing of a class.

    Attributes:
        shares: (C, C), which share of the weight of points of a class (row) lies on each class, the mean over the
            images that have it.
        spread: (C, C), its standard deviation over these images.
        area: (C, C), the mean share of the pixels of each class in these images: what attention that does not look
            would give.
        images: (C,), how many.
        distances: (C, kinds) of the weight, and ``cells`` of the cells.
        drops: (C, C), by how much the IoU of a class (row) falls where another (column) is replaced, of the pixels that
            are not of the other. In all images that have the other.
    """

    shares: np.ndarray
    spread: np.ndarray
    area: np.ndarray
    images: np.ndarray
    distances: np.ndarray
    cells: np.ndarray
    drops: np.ndarray


def summarize(images: list[ImageContext], num_classes: int) -> Summary:
    kinds, square = len(DISTANCES) + 1, (num_classes, num_classes)
    shares, spread, area, drops = (np.full(square, np.nan) for _ in range(4))
    distances, cells = (np.full((num_classes, kinds), np.nan) for _ in range(2))
    number = np.zeros(num_classes, int)
    for index in range(num_classes):
        own = [image for image in images if index in image.shares]
        number[index] = len(own)
        if own:
            values = np.array([image.shares[index] for image in own])
            shares[index], area[index] = values.mean(axis=0), np.mean([image.area for image in own], axis=0)
            if len(own) > 1:
                spread[index] = values.std(axis=0, ddof=1)
            distances[index], cells[index] = np.mean([image.distances[index] for image in own], axis=0)
        masked = [image for image in images if index in image.before]
        if masked:
            before, after = (sum(np.array(getattr(image, name)[index]) for image in masked)
                             for name in ('before', 'after'))
            drops[:, index] = iou(before) - iou(after)
    return Summary(shares, spread, area, number, distances, cells, drops)
