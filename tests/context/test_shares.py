"""Shares of maps, beside loops over pixels, and counterfactual images."""

import numpy as np
import pytest
import torch

from mmseg_attn.context.masking import FILLS, replace
from mmseg_attn.context.shares import DISTANCES, cell_shares, class_shares, distance_shares
from mmseg_attn.explain.maps import PointMaps
from mmseg_attn.explain.place import Axis, Place

CLASSES, IGNORE = 4, 255
# Cells of 3.5 x 4 pixels; the last row of cells ends beyond the picture.
PLACE = Place(Axis(1.5, 4.0, 5), Axis(1.25, 3.5, 4))
OTHER = Place(Axis(3.1, 4.0, 5), Axis(2.1, 3.5, 4))


def labels():
    found = np.random.default_rng(0).integers(0, CLASSES, (13, 20))
    found[:3, :7] = IGNORE
    return found


def maps(signs=False):
    values = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    values = values - 0.5 if signs else values
    return PointMaps('attention', torch.tensor([[0.0, 0.0], [19.0, 12.0], [7.0, 5.0]]), values, [PLACE, OTHER, PLACE])


def nearest(position, axis):
    return min(range(axis.cells), key=lambda i: abs(axis.first + i * axis.step - position))


@pytest.mark.parametrize('place', [PLACE, OTHER])
def test_shares_of_cells(place):
    found = labels()
    counts = np.zeros((4, 5, CLASSES))
    for y in range(13):
        for x in range(20):
            if found[y, x] < CLASSES:
                counts[nearest(y, place.y), nearest(x, place.x), found[y, x]] += 1
    sums = counts.sum(axis=2, keepdims=True)
    expected = np.divide(counts, sums, out=np.zeros_like(counts), where=sums > 0)
    np.testing.assert_allclose(cell_shares(found, place, CLASSES), expected)


@pytest.mark.parametrize('signs', [False, True])
def test_shares_of_points(signs):
    found = class_shares(maps(signs), labels(), CLASSES)
    for i, (values, place) in enumerate(zip(maps(signs).values, maps().places, strict=True)):
        cells = cell_shares(labels(), place, CLASSES)
        total = sum(abs(values[y, x].item()) * cells[y, x] for y in range(4) for x in range(5))
        np.testing.assert_allclose(found[i], total / total.sum(), rtol=1e-6)


def test_a_map_of_zeros_has_no_shares():
    zero = maps()
    zero.values[1] = 0
    found = class_shares(zero, labels(), CLASSES)
    assert np.isnan(found[1]).all()
    assert not np.isnan(found[[0, 2]]).any()
    assert not distance_shares(zero)[0][1].any()


def test_distances():
    weights, cells = distance_shares(maps())
    for i, (values, place) in enumerate(zip(maps().values.double(), maps().places, strict=True)):
        x, y = maps().points[i].tolist()
        expected, alike = np.zeros(len(DISTANCES) + 1), np.zeros(len(DISTANCES) + 1)
        for row in range(4):
            for column in range(5):
                away = np.hypot(place.x.first + column * 4 - x, place.y.first + row * 3.5 - y)
                kind = sum(away >= end for end in DISTANCES)
                expected[kind] += values[row, column] / values.sum()
                alike[kind] += 1 / 20
        np.testing.assert_allclose(weights[i], expected)
        np.testing.assert_allclose(cells[i], alike)


@pytest.fixture(params=[(30, 40, 3), (30, 40)], ids=['colours', 'grey'])
def image(request):
    pixels = np.full(request.param, 100, np.uint8)
    pixels[::2] = 120
    pixels[10:20, 10:30] = 255
    mask = np.zeros((30, 40), bool)
    mask[10:20, 10:30] = True
    return pixels, mask


@pytest.mark.parametrize('fill', FILLS)
def test_nothing_of_the_class_is_left(image, fill):
    pixels, mask = image
    found = replace(pixels, mask, fill)
    assert found.dtype == pixels.dtype
    assert np.array_equal(found[~mask], pixels[~mask])
    assert pixels[mask].min() == 255
    others = pixels[~mask].astype(float)
    assert abs(found[mask].mean() - others.mean()) < 2
    assert found[mask].max() < 200
    if fill == 'mean':
        assert np.ptp(found[mask]) == 0
    if fill == 'noise':
        assert found[mask].std() == pytest.approx(others.std(), rel=0.2)
        assert np.array_equal(found, replace(pixels, mask, fill))
        assert not np.array_equal(found, replace(pixels, mask, fill, seed=1))


@pytest.mark.parametrize('fill', FILLS)
def test_of_a_class_everywhere_and_of_floats(fill):
    pixels = np.random.default_rng(0).normal(size=(8, 9, 3)).astype(np.float32)
    found = replace(pixels, np.ones((8, 9), bool), fill)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
