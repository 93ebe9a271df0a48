"""What a page shows of the scales at which a model sees a picture: how much each counts at each pixel."""

import zlib
from dataclasses import dataclass

import matplotlib
import numpy as np
import torch.nn.functional as F

from .place import Axis, Place
from .view import View

# Cells along a side: the weights are smooth, computed at the strides of feature maps.
MAX_CELLS = 512
# From fine to coarse they are told apart by their brightness, too.
COLOURS = 'viridis'


@dataclass
class Scales:
    """The weights of S scales in few bytes.

    Attributes:
        names: of the scales, as numbers are written.
        colours: of the scales, (red, green, blue).
        place: where the cells lie in the picture.
        data: zlib's format of (S, rows, columns) bytes, 255 for a weight of one.
    """

    names: list[str]
    colours: list[list[int]]
    place: Place
    data: bytes


def scales_of(view: View) -> Scales | None:
    """The mean of the weights in each cell; None of a model that has one scale."""
    weights = view.scale_weights
    if weights is None:
        return None
    count, *size = weights.shape
    # As many cells as pixels, or so few that the larger side has MAX_CELLS.
    cells = [max(round(side * min(MAX_CELLS / max(size), 1)), 1) for side in size]
    codes = (F.adaptive_avg_pool2d(weights.float()[None], cells)[0] * 255).round().byte().numpy()
    colours = matplotlib.colormaps[COLOURS](np.linspace(0.1, 0.95, count), bytes=True)[:, :3].tolist()
    place = Place(*(Axis((side / few - 1) / 2, side / few, few)
                    for side, few in reversed(list(zip(size, cells, strict=True)))))
    return Scales([f'{scale:g}' for scale in view.model.test_scales], colours, place, zlib.compress(codes.tobytes(), 9))
