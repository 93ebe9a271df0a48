"""Colours for the classes of data sets that bring none."""

from functools import cache

import numpy as np

Colour = tuple[int, int, int]

LEVELS = 12  # of red, green and blue that are candidates
LIGHTNESS = 25, 92  # of CIELAB; black stands for pixels that are ignored, white for text
# Red, green and blue in linear light -> what dichromats see: Machado, Oliveira & Fernandes, "A Physiologically-based
# Model for Simulation of Color Vision Deficiency", 2009, severity 1.0: protanopia, deuteranopia, tritanopia.
DICHROMATS = np.array([
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
])
TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                   [0.0193339, 0.1191920, 0.9503041]])
WHITE = TO_XYZ.sum(axis=1)


@cache
def default_palette(count: int) -> tuple[Colour, ...]:
    """Colours (red, green, blue) from 0 to 255, always the same, the first ones farthest from each other.

    Each is the one of :data:`LEVELS`^3 candidates whose distance in CIELAB to those before it is greatest, as seen by
    the kind of colour vision (normal, or one of three deficiencies) to which it is smallest.
    """
    levels = np.linspace(0, 255, LEVELS).round().astype(int)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing='ij'), axis=-1).reshape(-1, 3)
    seen = lab_as_seen(candidates)
    lightness = seen[0, :, 0]
    usable = (lightness >= LIGHTNESS[0]) & (lightness <= LIGHTNESS[1])
    candidates, seen = candidates[usable], seen[:, usable]
    distance = np.full(len(candidates), np.inf)
    # The first one is the most saturated blue, which all kinds of vision tell from other hues.
    chosen = [int(np.argmin(seen[0, :, 2]))]
    while len(chosen) < count:
        distance = np.minimum(distance, np.linalg.norm(seen - seen[:, chosen[-1:]], axis=2).min(axis=0))
        chosen.append(int(np.argmax(distance)))
    return tuple((int(red), int(green), int(blue)) for red, green, blue in candidates[chosen[:count]])


def lab_as_seen(colours: np.ndarray) -> np.ndarray:
    """Colours (N, 3), sRGB from 0 to 255 -> CIELAB (4, N, 3): normal, protanopia, deuteranopia, tritanopia."""
    values = np.asarray(colours) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    seen = np.concatenate([linear[None], (linear @ DICHROMATS.transpose(0, 2, 1)).clip(0, 1)])
    xyz = seen @ TO_XYZ.T / WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
