"""What people are shown of pixels of any kind."""

import numpy as np
import pytest

from mmseg_attn.common.display import displayable, how_displayed

COLOUR = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)


@pytest.mark.parametrize(('pixels', 'expected'), [
    (COLOUR, COLOUR[..., ::-1]), (COLOUR.astype(np.float32), COLOUR[..., ::-1]),
    (COLOUR.astype(np.uint16), COLOUR[..., ::-1]), (COLOUR[..., 0], COLOUR[..., [0, 0, 0]]),
    (COLOUR[..., :1], COLOUR[..., [0, 0, 0]]), (COLOUR[..., [0, 1, 2, 0]], COLOUR[..., ::-1])],
    ids=['colour', 'float', '16 bits', 'grey', 'one channel', 'four channels'])
def test_eight_bits_stay_as_they_are(pixels, expected):
    assert np.array_equal(displayable(pixels), expected)
    assert how_displayed(pixels) == ''


def test_fractions():
    shown = displayable(COLOUR / np.float32(255))
    assert np.array_equal(shown, COLOUR[..., ::-1])
    assert how_displayed(COLOUR / np.float32(255)) == 'float32 from 0 to 1'


@pytest.mark.parametrize('pixels', [COLOUR.astype(np.uint16) * 200, -0.3 * COLOUR.astype(np.float64), COLOUR * -7.0])
def test_other_values_are_stretched(pixels):
    low, high = np.percentile(pixels, (2, 98), axis=(0, 1))
    expected = 255 * ((pixels - low) / (high - low)).clip(0, 1)
    assert np.abs(displayable(pixels)[..., ::-1] - expected).max() <= 0.5 + 1e-9
    assert how_displayed(pixels) == f'{pixels.dtype} from the percentile 2 to 98 of each band'


def test_values_that_are_not_finite_and_bands_that_are_constant():
    pixels = np.full((5, 4, 3), -20.0)
    pixels[..., 1] = np.arange(20.0).reshape(5, 4)
    pixels[0, 0] = np.nan
    shown = displayable(pixels)
    assert (shown[..., [0, 2]] == 0).all()
    assert shown[..., 1].max() == 255
    assert (displayable(np.full((2, 3), np.inf)) == 0).all()


def test_bands():
    pixels = np.concatenate([COLOUR, 255 - COLOUR], axis=2)
    assert np.array_equal(displayable(pixels), COLOUR[..., ::-1])
    assert how_displayed(pixels) == 'bands 2, 1, 0 of 6'
    assert np.array_equal(displayable(pixels, (3, 4, 5)), 255 - COLOUR)
    assert np.array_equal(displayable(pixels, (4, )), 255 - COLOUR[..., [1, 1, 1]])
    assert how_displayed(pixels, (4, )) == 'bands 4 of 6'
