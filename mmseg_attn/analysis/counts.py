"""Counts of one image, which add up over images: what all of a report's numbers are made of.

Shapes: H x W pixels, C classes. Labels and predictions are integers (H, W); an ignored pixel counts nowhere.
"""

from dataclasses import dataclass, field, fields

import cv2
import numpy as np

# Widths in pixels of the bands along the borders between classes.
TRIMAP_WIDTHS = 1, 2, 4, 8, 16, 32
BINS = 15
# Areas in pixels, upper ends (exclusive) of all but the last kind of component.
AREAS = 64, 256, 1024, 4096, 16384
BOUNDARY_RATIO = 0.01
# A component is found where at least this share of its pixels has its class.
FOUND = 0.5


@dataclass
class Counts:
    """Sums over images.

    Attributes:
        confusion: pixels, (C labelled, C predicted).
        boundary: pixels of the inner boundaries of each class, (3, C): in both, in the label, in the prediction.
        trimap: ``confusion`` of the pixels in bands around the borders of the labels, (widths, C, C).
        calibration: (BINS, 3): pixels, sum of their confidences, and how many are right.
        components: connected components of the labels by area, (C, areas, 2): found and missed.
        images: how many.
    """

    confusion: np.ndarray
    boundary: np.ndarray
    trimap: np.ndarray
    calibration: np.ndarray
    components: np.ndarray
    images: int = field(default=1)

    def __iadd__(self, other: 'Counts') -> 'Counts':
        for part in fields(self):
            setattr(self, part.name, getattr(self, part.name) + getattr(other, part.name))
        return self


def zeros(num_classes: int) -> Counts:
    return Counts(np.zeros((num_classes, num_classes), np.int64), np.zeros((3, num_classes), np.int64),
                  np.zeros((len(TRIMAP_WIDTHS), num_classes, num_classes), np.int64), np.zeros((BINS, 3)),
                  np.zeros((num_classes, len(AREAS) + 1, 2), np.int64), images=0)


def count(label: np.ndarray, prediction: np.ndarray, confidence: np.ndarray | None, num_classes: int,
          ignore_index: int) -> Counts:
    """
    Args:
        label: (H, W). Values that are no class are ignored, as ``ignore_index`` is.
        prediction: (H, W) of classes.
        confidence: probability of the predicted class, (H, W); None where it is not known.
        num_classes: C.
        ignore_index: label of ignored pixels.
    """
    seen = (label != ignore_index) & (label >= 0) & (label < num_classes)
    calibration = np.zeros((BINS, 3))
    if confidence is not None:
        calibration = count_calibration(confidence[seen], (label == prediction)[seen])
    return Counts(
        confusion(label[seen], prediction[seen], num_classes), count_boundary(label, prediction, seen, num_classes),
        count_trimap(label, prediction, seen, num_classes), calibration,
        count_components(label, prediction, seen, num_classes))


def confusion(label: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Labels and predictions (N,) -> pixels (C labelled, C predicted)."""
    pairs = label.astype(np.int64) * num_classes + prediction
    return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


def count_boundary(label: np.ndarray, prediction: np.ndarray, seen: np.ndarray, num_classes: int) -> np.ndarray:
    """Pixels of a class that lie at most d from the end of its region, as Boundary IoU (Cheng et al., CVPR 2021,
    https://arxiv.org/abs/2103.16562) has them, with d = 1 % of the diagonal: (3, C).

    A region also ends at the border of the image and at ignored pixels, in label and prediction alike.
    """
    distance = max(round(BOUNDARY_RATIO * float(np.hypot(*label.shape))), 1)
    found = np.zeros((3, num_classes), np.int64)
    for index in np.union1d(np.unique(label[seen]), np.unique(prediction[seen])).astype(int):
        labelled, predicted = (_inner_boundary((values == index) & seen, distance) for values in (label, prediction))
        found[:, index] = (labelled & predicted).sum(), labelled.sum(), predicted.sum()
    return found


def _inner_boundary(region: np.ndarray, distance: int) -> np.ndarray:
    padded = np.pad(region.astype(np.uint8), 1)
    # As many steps of a 3 x 3 erosion as one of this size.
    kernel = np.ones((2 * distance + 1, ) * 2, np.uint8)
    inside = cv2.erode(padded, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)[1:-1, 1:-1]
    return region & (inside == 0)


def count_trimap(label: np.ndarray, prediction: np.ndarray, seen: np.ndarray, num_classes: int) -> np.ndarray:
    """Confusions (widths, C, C) of pixels less than a width away from a border between two labels.

    A pixel at the border, which has a neighbour above, below, left or right with another label, is 0 away.
    """
    at_border = np.zeros(label.shape, bool)
    for axis in 0, 1:
        first, second = (np.moveaxis(values, axis, 0) for values in (label, seen))
        differs = (first[1:] != first[:-1]) & second[1:] & second[:-1]
        view = np.moveaxis(at_border, axis, 0)
        view[1:] |= differs
        view[:-1] |= differs
    found = np.zeros((len(TRIMAP_WIDTHS), num_classes, num_classes), np.int64)
    if at_border.any():
        away = cv2.distanceTransform((~at_border).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for i, width in enumerate(TRIMAP_WIDTHS):
            near = seen & (away < width)
            found[i] = confusion(label[near], prediction[near], num_classes)
    return found


def count_calibration(confidence: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Confidences (N,) from 0 to 1 and whether the pixels are right -> (BINS, 3), see :class:`Counts`."""
    bins = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
    return np.stack([np.bincount(bins, weights, minlength=BINS) for weights in (
        np.ones(len(bins)), confidence.astype(np.float64), right.astype(np.float64))], axis=1)


def count_components(label: np.ndarray, prediction: np.ndarray, seen: np.ndarray, num_classes: int) -> np.ndarray:
    """Components of the labels, whose pixels touch at edges or corners, found and missed: (C, areas, 2)."""
    found = np.zeros((num_classes, len(AREAS) + 1, 2), np.int64)
    for index in np.unique(label[seen]).astype(int):
        number, parts = cv2.connectedComponents(((label == index) & seen).astype(np.uint8), connectivity=8)
        area = np.bincount(parts.ravel(), minlength=number)[1:]
        right = np.bincount(parts[prediction == index], minlength=number)[1:]
        kind = np.searchsorted(AREAS, area, side='right')
        np.add.at(found[index], (kind, (right < FOUND * area).astype(np.int64)), 1)
    return found
