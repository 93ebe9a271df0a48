"""Of the maps of some points: which classes they draw on, and how far away."""

import numpy as np
import torch
from torch import Tensor

from mmseg_attn.explain.maps import PointMaps
from mmseg_attn.explain.place import Place

# Upper ends (exclusive) of the distances in pixels of all but the last kind.
DISTANCES = 8, 16, 32, 64, 128, 256, 512


def cell_shares(labels: np.ndarray, place: Place, num_classes: int) -> np.ndarray:
    """Of the pixels of each cell of a map, which share has each class: (rows, columns, C).

    A pixel belongs to the cell whose centre is nearest. Pixels that are no class count nowhere; a cell of nothing else
    is zero.
    """
    rows, columns = (axis.nearest(torch.arange(side)).numpy() for axis, side in zip(
        (place.y, place.x), labels.shape, strict=True))
    seen = (labels >= 0) & (labels < num_classes)
    cells = rows[:, None] * place.x.cells + columns
    index = cells[seen] * num_classes + labels[seen]
    counts = np.bincount(index, minlength=place.y.cells * place.x.cells * num_classes).astype(np.float64)
    counts = counts.reshape(place.y.cells, place.x.cells, num_classes)
    return counts / np.maximum(counts.sum(axis=2, keepdims=True), 1)


def weights_of(maps: PointMaps) -> Tensor:
    """(P, rows, columns), what each cell counts: the size of its value, since some maps have negative ones."""
    return maps.values.double().abs()


def class_shares(maps: PointMaps, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Which share of the weight of each point lies on each class, (P, C); NaN of a map that is zero."""
    found = np.zeros((len(maps.points), num_classes))
    shares: dict[Place, np.ndarray] = {}
    for i, (weights, place) in enumerate(zip(weights_of(maps).numpy(), maps.places, strict=True)):
        if place not in shares:
            shares[place] = cell_shares(labels, place, num_classes)
        found[i] = np.tensordot(weights, shares[place], axes=2)
    total = found.sum(axis=1, keepdims=True)
    return np.divide(found, total, out=np.full_like(found, np.nan), where=total > 0)


def distance_shares(maps: PointMaps) -> tuple[np.ndarray, np.ndarray]:
    """Which share of the weight of each point lies how far from it, and of the cells: each (P, kinds)."""
    found, cells = (np.zeros((len(maps.points), len(DISTANCES) + 1)) for _ in range(2))
    for i, (weights, place) in enumerate(zip(weights_of(maps).numpy(), maps.places, strict=True)):
        x, y = maps.points[i].tolist()
        away = np.hypot(*np.meshgrid(place.x.centres().numpy() - x, place.y.centres().numpy() - y))
        kind = np.searchsorted(DISTANCES, away, side='right').ravel()
        found[i] = np.bincount(kind, weights.ravel(), minlength=found.shape[1]) / max(weights.sum(), 1e-300)
        cells[i] = np.bincount(kind, minlength=found.shape[1]) / kind.size
    return found, cells
