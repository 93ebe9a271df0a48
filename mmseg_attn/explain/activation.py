"""The activation map of AG-CNN (Guan et al. 2018, https://arxiv.org/abs/1801.09927): where features are strongest.

    H(p) = max_k |f_k(p)|          f: the features that the head takes from the backbone

from 0 at its smallest to 1 at its largest value, interpolated to the size of the picture; the pixels above a
threshold; and the box around the largest region of them, whose pixels touch at edges or corners. The paper crops the
image to that box for a second branch. It has no trained part.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .place import Axis, Place
from .view import View, Window

THRESHOLD = 0.7  # the paper's


@dataclass
class ActivationMap:
    """Where the features of a picture are strongest.

    Attributes:
        values: (H, W) from 0 to 1, at the size of the picture; all 0 where H is the same everywhere.
        box: (left, top, right, bottom) in pixels of the picture, the last two exclusive, around the largest region
            above the threshold; None where no pixel is.
    """

    values: Tensor
    box: tuple[int, int, int, int] | None


@torch.no_grad()
def activation_map(view: View, threshold: float = THRESHOLD) -> ActivationMap:
    """Where the features that the head takes from the backbone (the last of several maps) are strongest.

    Where the config slides, a pixel has the largest value of the windows that it lies in.

    Args:
        view: from :func:`look`.
        threshold: between 0 and 1.
    """
    height, width = view.picture.shape[:2]
    strongest = [_feature(view, window)[0].float().abs().amax(dim=0).cpu() for window in view.windows]
    low, high = (min(values.min() for values in strongest), max(values.max() for values in strongest))
    values = torch.full((height, width), -torch.inf)
    for window, found in zip(view.windows, strongest, strict=True):
        found = (found - low) / (high - low) if high > low else torch.zeros_like(found)
        values = torch.maximum(values, _at_picture(found, window.place(*found.shape), height, width))
    return ActivationMap(values, box_of_largest_region((values > threshold).numpy()))


def _feature(view: View, window: Window) -> Tensor:
    index = getattr(view.head, 'in_index', -1)
    return window.features[index[-1] if isinstance(index, list | tuple) else index]


def _at_picture(values: Tensor, place: Place, height: int, width: int) -> Tensor:
    """Interpolated between the cells of a map; minus infinity outside of them."""
    (y, is_row), (x, is_column) = (_positions(*part) for part in ((place.y, height), (place.x, width)))
    grid = torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1)[None]
    found = F.grid_sample(values[None, None], grid.float(), padding_mode='border', align_corners=True)[0, 0]
    return found.masked_fill(~(is_row[:, None] & is_column), -torch.inf)


def _positions(axis: Axis, pixels: int) -> tuple[Tensor, Tensor]:
    """Of the pixels among the cells, from -1 at the first to 1 at the last; and whether the pixels are on the map."""
    cells = (torch.arange(pixels, dtype=torch.float64) - axis.first) / axis.step
    on_map = (cells >= -0.5) & (cells <= axis.cells - 0.5)
    return 2 * cells / max(axis.cells - 1, 1) - 1, on_map


def box_of_largest_region(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """(left, top, right, bottom) of the 8-connected region of a mask (H, W) with the most pixels, the last two
    exclusive; None of an empty mask. Of equally large regions the first, row by row."""
    _, _, regions, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    regions = regions[1:]  # the first is the background
    if not len(regions):
        return None
    left, top, width, height, _ = (int(value) for value in regions[regions[:, cv2.CC_STAT_AREA].argmax()])
    return left, top, left + width, top + height
