"""Counts of an image, beside loops over its pixels and numbers counted by hand."""

import numpy as np
import pytest

from mmseg_attn.analysis import counts as ours
from mmseg_attn.analysis.counts import AREAS, BINS, TRIMAP_WIDTHS, count, zeros
from mmseg_attn.analysis.summary import boundary_iou, calibration_error, iou, mean, precision, recall
from tests.analysis import naive

CLASSES, IGNORE = 4, 255


def maps(seed=0, shape=(13, 18), cell=3):
    """Labels and predictions of patches, with ignored pixels; class 3 occurs in no label."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 3, [-(-side // cell) for side in shape])
    label = np.kron(small, np.ones((cell, cell), int))[:shape[0], :shape[1]]
    prediction = np.where(rng.random(shape) < 0.3, rng.integers(0, CLASSES, shape), label)
    label[rng.random(shape) < 0.1] = IGNORE
    return label, prediction


@pytest.mark.parametrize('seed', range(3))
def test_equal_the_loops(seed, monkeypatch):
    monkeypatch.setattr(ours, 'BOUNDARY_RATIO', 0.1)  # two pixels
    label, prediction = maps(seed)
    confidence = np.random.default_rng(seed).random(label.shape)
    found = count(label, prediction, confidence, CLASSES, IGNORE)
    assert np.array_equal(found.confusion, naive.confusion(label, prediction, IGNORE, CLASSES))
    seen = label != IGNORE
    for index in range(CLASSES):
        a, b = (naive.inner_boundary((values == index) & seen, 2) for values in (label, prediction))
        assert found.boundary[:, index].tolist() == [(a & b).sum(), a.sum(), b.sum()]
    for width, band in zip(TRIMAP_WIDTHS, found.trimap, strict=True):
        outside = ~naive.near_border(label, IGNORE, width)
        assert np.array_equal(band, naive.confusion(np.where(outside, IGNORE, label), prediction, IGNORE, CLASSES))
    np.testing.assert_allclose(found.calibration, naive.calibration(
        confidence[seen], (label == prediction)[seen], BINS))
    expected = np.zeros((CLASSES, len(AREAS) + 1, 2), int)
    for index in range(CLASSES):
        for pixels in naive.components(label == index):
            right = sum(prediction[place] == index for place in pixels)
            kind = sum(len(pixels) >= area for area in AREAS)
            expected[index, kind, int(right < len(pixels) / 2)] += 1
    assert np.array_equal(found.components, expected)


def test_boundary_iou_by_hand():
    label, prediction = np.zeros((12, 12), int), np.zeros((12, 12), int)
    label[2:8, 2:8] = 1
    prediction[2:8, 3:9] = 1
    # Diagonal 17: one pixel. A ring of 20 pixels and the same one step to the right: top and bottom rows share five
    # pixels each; columns 2 and 7 against 3 and 8 share none.
    found = count(label, prediction, None, 2, IGNORE)
    assert found.boundary[:, 1].tolist() == [10, 20, 20]
    assert boundary_iou(found)[1] == pytest.approx(10 / 30)
    # 30 of 42 pixels.
    assert iou(found.confusion)[1] == pytest.approx(30 / 42)


def test_the_band_of_large_images_is_one_per_cent_of_the_diagonal():
    label = np.zeros((300, 400), int)  # diagonal 500
    both, labelled, predicted = count(label, label, None, 1, IGNORE).boundary[:, 0]
    assert both == labelled == predicted == 300 * 400 - 290 * 390


def test_a_component_is_found_by_half_of_its_pixels():
    label, prediction = np.zeros((20, 20), int), np.zeros((20, 20), int)
    label[0, 0:4] = label[1, 4] = 1  # one component of five pixels, which touch at a corner
    label[10:20, 10:20] = 1
    prediction[10:15, 10:20] = 1  # exactly half of 100
    prediction[0, 0:2] = 1  # two of five
    found = count(label, prediction, None, 2, IGNORE).components[1]
    assert found.tolist() == [[0, 1], [1, 0], [0, 0], [0, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize(('side', 'kind'), [(7, 0), (8, 1), (15, 1), (16, 2), (128, 5)])
def test_areas_begin_with_their_lower_end(side, kind):
    label = np.zeros((130, 130), int)
    label[:side, :side] = 1
    found = count(label, label, None, 2, IGNORE).components[1]
    assert found[kind].tolist() == [1, 0]
    assert found.sum() == 1


def test_precision_recall_and_means():
    confusion = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    np.testing.assert_allclose(precision(confusion), [6 / 7, 3 / 5, np.nan])
    np.testing.assert_allclose(recall(confusion), [6 / 8, 3 / 4, np.nan])
    np.testing.assert_allclose(iou(confusion), [6 / 9, 3 / 6, np.nan])
    assert mean(iou(confusion)) == pytest.approx((6 / 9 + 3 / 6) / 2)
    assert np.isnan(mean(np.array([np.nan])))


def test_calibration_error_by_hand():
    # Bins of a fifteenth: three pixels of 0.9 of which one is right, one pixel of 0.5 that is right.
    found = ours.count_calibration(np.array([0.9, 0.9, 0.9, 0.5]), np.array([True, False, False, True]))
    assert calibration_error(found) == pytest.approx((abs(2.7 - 1) + abs(0.5 - 1)) / 4)
    assert ours.count_calibration(np.array([1.0, 0.0]), np.array([True, True]))[[0, -1], 0].tolist() == [1, 1]


def test_ignored_pixels_and_labels_that_are_no_class_count_nowhere():
    label = np.full((5, 6), IGNORE)
    label[0, 0] = CLASSES
    found = count(label, np.zeros((5, 6), int), np.ones((5, 6)), CLASSES, IGNORE)
    for part in found.confusion, found.boundary, found.trimap, found.calibration, found.components:
        assert not part.any()


def test_counts_add_up():
    total = zeros(CLASSES)
    parts = [count(*maps(seed), None, CLASSES, IGNORE) for seed in range(2)]
    for part in parts:
        total += part
    assert total.images == 2
    assert np.array_equal(total.trimap, parts[0].trimap + parts[1].trimap)
    assert np.array_equal(total.components, parts[0].components + parts[1].components)
