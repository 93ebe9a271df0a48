"""Pictures of any kind of pixels, as people see them."""

import numpy as np

from .errors import UserError

# Of the values, those that become black and white.
PERCENTILES = 2, 98
AS_IT_IS, FRACTIONS = 'as it is', 'from 0 to 1'
STRETCHED = 'from the percentile {} to {} of each band'.format(*PERCENTILES)


def displayable(pixels: np.ndarray, bands: tuple[int, ...] | None = None) -> np.ndarray:
    """Pixels as a pipeline loads them -> (H, W, 3) RGB, uint8.

    Whole numbers from 0 to 255 stay as they are, and fractions from 0 to 1 are taken for 0 to 255. Other values, such
    as 16 bits and decibels, are stretched: the 2nd percentile of each band becomes black and the 98th white.

    Args:
        pixels: (H, W) or (H, W, C) of any type.
        bands: the channels shown as red, green and blue, or one of them in grey. By default the third, second and first
            of three or more channels (BGR, as they are read), and else the first.

    Raises:
        UserError: the picture has no such band.
    """
    shown = _shown(pixels, bands)
    out = _in_8_bits(shown, _range_of(shown))
    return np.ascontiguousarray(out if out.shape[2] == 3 else out.repeat(3, axis=2))


def how_displayed(pixels: np.ndarray, bands: tuple[int, ...] | None = None) -> str:
    """What is to be said of :func:`displayable`; nothing where people see the pixels as they are."""
    channels = pixels.shape[2] if pixels.ndim > 2 else 1
    said = [f'bands {", ".join(map(str, bands or (2, 1, 0)))} of {channels}'] if channels > 4 or bands else []
    range_of = _range_of(_shown(pixels, bands))
    return '; '.join([*said, *([f'{pixels.dtype} {range_of}'] if range_of != AS_IT_IS else [])])


def _shown(pixels: np.ndarray, bands: tuple[int, ...] | None) -> np.ndarray:
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    if bands and max(bands) >= pixels.shape[2]:
        raise UserError(f'--bands {" ".join(map(str, bands))}: the picture has the channels 0 to {pixels.shape[2] - 1}')
    return pixels[..., list(bands or ((2, 1, 0) if pixels.shape[2] >= 3 else (0, )))]


def _range_of(pixels: np.ndarray) -> str:
    if pixels.dtype == np.uint8:
        return AS_IT_IS
    if np.isfinite(pixels).all() and pixels.min() >= 0:
        if pixels.dtype.kind == 'f' and pixels.max() <= 1:
            return FRACTIONS
        if pixels.max() <= 255 and (pixels == np.round(pixels)).all():
            return AS_IT_IS
    return STRETCHED


def _in_8_bits(pixels: np.ndarray, range_of: str) -> np.ndarray:
    if range_of == AS_IT_IS:
        return pixels.astype(np.uint8)
    values = np.where(np.isfinite(pixels), pixels, np.nan).astype(np.float64)
    low, high = np.zeros(1), np.ones(1)
    if range_of == STRETCHED and not np.isnan(values).all():
        low, high = np.nanpercentile(values, PERCENTILES, axis=(0, 1))
    shares = np.nan_to_num((values - low) / np.where(high > low, high - low, 1))
    return (255 * shares.clip(0, 1)).round().astype(np.uint8)
