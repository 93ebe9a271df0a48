"""What counts say: precision, recall, IoU, their means, and the calibration error. All are fractions; NaN for 0 / 0."""

import numpy as np

from .counts import Counts


def divide(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = np.broadcast_arrays(np.asarray(a, np.float64), np.asarray(b, np.float64))
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b > 0)


def iou(confusion: np.ndarray) -> np.ndarray:
    """(..., C, C) -> IoU of each class (..., C); NaN for a class in no label and no prediction."""
    right = np.diagonal(confusion, axis1=-2, axis2=-1)
    return divide(right, confusion.sum(-1) + confusion.sum(-2) - right)


def precision(confusion: np.ndarray) -> np.ndarray:
    return divide(np.diagonal(confusion), confusion.sum(0))


def recall(confusion: np.ndarray) -> np.ndarray:
    return divide(np.diagonal(confusion), confusion.sum(1))


def accuracy(confusion: np.ndarray) -> float:
    return float(divide(np.trace(confusion), confusion.sum()))


def boundary_iou(counts: Counts) -> np.ndarray:
    both, labelled, predicted = counts.boundary
    return divide(both, labelled + predicted - both)


def mean(values: np.ndarray) -> float:
    """Of what is no NaN; NaN of nothing."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float('nan')


def calibration_error(calibration: np.ndarray) -> float:
    """Expected calibration error (Guo et al., ICML 2017): the mean over the pixels of how far the accuracy of their
    bin is from its mean confidence."""
    pixels, confidence, right = calibration.T
    return float(divide(np.abs(confidence - right).sum(), pixels.sum()))
