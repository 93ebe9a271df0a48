"""AG-CNN's activation map, its mask and its box."""

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_attn.explain import activation_map, draw_activation, look
from mmseg_attn.explain.activation import box_of_largest_region
from tests.explain.models import model, picture
from tests.explain.test_view import SLIDE


def regions(mask):
    """By a flood fill: the pixels of each 8-connected region."""
    left = {(y, x) for y in range(mask.shape[0]) for x in range(mask.shape[1]) if mask[y, x]}
    while left:
        found, waiting = set(), [left.pop()]
        while waiting:
            y, x = waiting.pop()
            found.add((y, x))
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            waiting += near
        yield found


@pytest.mark.parametrize('seed', range(8))
def test_box_is_that_of_a_flood_fill(seed):
    mask = np.random.default_rng(seed).random((13, 17)) < 0.25
    largest = max(map(len, regions(mask)))
    boxes = {(min(x for _, x in region), min(y for y, _ in region), max(x for _, x in region) + 1,
              max(y for y, _ in region) + 1) for region in regions(mask) if len(region) == largest}
    assert box_of_largest_region(mask) in boxes


def test_corners_touch_and_nothing_has_no_box():
    mask = np.eye(5, dtype=bool)
    assert box_of_largest_region(mask) == (0, 0, 5, 5)
    assert box_of_largest_region(np.zeros((3, 4), bool)) is None


def test_values_are_the_largest_of_the_channels_between_zero_and_one():
    view = look(model(), picture())
    # Some backbones end without a ReLU.
    view.windows[0].features[0].mul_(torch.randn(view.windows[0].features[0].shape).sign())
    found = activation_map(view, 0.5)
    feature = view.windows[0].features[0][0]
    rows, columns = feature.shape[1:]
    height, width = view.picture.shape[:2]
    strongest = torch.tensor([[max(abs(feature[k, i, j].item()) for k in range(len(feature))) for j in range(columns)]
                              for i in range(rows)])
    # The picture is padded by nothing here, so that the map covers it.
    strongest = (strongest - strongest.min()) / (strongest.max() - strongest.min())
    expected = torch.nn.functional.interpolate(strongest[None, None], (height, width), mode='bilinear',
                                               align_corners=False)[0, 0]
    torch.testing.assert_close(found.values, expected, rtol=1e-4, atol=1e-4)
    assert (strongest.min(), strongest.max()) == (0, 1)
    assert found.box == box_of_largest_region((found.values > 0.5).numpy())


def test_a_pixel_has_the_largest_value_of_its_windows():
    view = look(model(**SLIDE), picture())
    assert len(view.windows) > 1
    found = activation_map(view)
    assert found.values.shape == view.picture.shape[:2]
    assert found.values.isfinite().all()


def test_the_same_everywhere_has_no_box():
    view = look(model(), picture())
    view.windows[0].features[0].fill_(-3)
    found = activation_map(view)
    assert not found.values.any()
    assert found.box is None


def test_figure(tmp_path):
    view = look(model(), picture())
    draw_activation(tmp_path / 'a.png', [view, view], [activation_map(view), activation_map(view, 0.2)])
    with Image.open(tmp_path / 'a.png') as image:
        assert image.format == 'PNG'
