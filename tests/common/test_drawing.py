import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer

from mmseg_attn.common.display import displayable
from mmseg_attn.common.drawing import Painter, add_legend
from tests.explain.models import picture

CLASSES = ['sky', 'road', 'car']
PALETTE = [(10, 200, 30), (250, 0, 255), (0, 90, 120)]


def _labels(height, width):
    return np.random.default_rng(0).integers(0, 3, (height, width)).astype(np.uint8)


@pytest.mark.parametrize('opacity', [0.0, 0.3, 1.0])
def test_colours_lie_over_the_picture_as_mmseg_lays_them(opacity):
    image, labels = picture(45, 61), _labels(45, 61)
    visualizer = SegLocalVisualizer(alpha=opacity)
    visualizer.dataset_meta = dict(classes=CLASSES, palette=PALETTE)
    sample = SegDataSample(pred_sem_seg=PixelData(data=torch.from_numpy(labels)[None]))
    visualizer.add_datasample('', image[..., ::-1], sample, draw_gt=False, with_labels=False)
    painted = Painter(CLASSES, PALETTE, opacity, legend=False)(image, labels)
    assert painted.dtype == np.uint8
    # mmseg cuts fractions off.
    assert np.abs(painted.astype(int) - visualizer.get_image().astype(int)).max() <= 1


def test_the_legend_shows_the_classes_that_occur_beside_the_picture():
    labels = np.full((120, 160), 2, np.uint8)
    black = np.zeros((120, 160, 3), np.uint8)
    plain = Painter(CLASSES, PALETTE, legend=False)(black, labels)
    for named, colours in ((None, [2]), ({0, 2}, [0, 2])):
        painted = Painter(CLASSES, PALETTE)(black, labels, named)
        assert np.array_equal(painted[:, :160], plain)
        shown = {tuple(colour) for colour in painted[:, 160:].reshape(-1, 3).tolist()}
        assert [i for i, colour in enumerate(PALETTE) if colour in shown] == colours


def test_frames_of_a_video_have_one_size():
    names = ['sky', 'a long name of a class that comes late', 'car']
    painter = Painter(names, PALETTE)
    sizes = {painter(picture(60, 81), np.full((60, 81), max(named), np.uint8), named).shape
             for named in ({0}, {0, 2}, {0, 1, 2})}
    assert len(sizes) == 1
    assert sizes.pop()[1] % 2 == 0


def test_a_name_is_not_cut_off():
    drawn = add_legend(np.zeros((120, 160, 3), np.uint8), [('a long name of a class', (255, 0, 0)), ('b', (0, 255, 0))])
    assert (drawn[:, -2:] == 255).all()
    assert (drawn[:30, 180:-4] < 128).any()


def test_a_legend_that_is_too_long_says_so():
    entries = [(f'class {i}', (0, i, 255)) for i in range(100)]
    drawn = add_legend(np.full((120, 160, 3), 200, np.uint8), entries)
    found = {tuple(colour) for colour in drawn.reshape(-1, 3).tolist()}
    assert {colour for _, colour in entries[:8]} <= found
    assert not {colour for _, colour in entries[10:]} & found


@pytest.mark.parametrize('size', [(1, 1), (11, 7), (20, 500)])
def test_a_legend_never_changes_the_picture(size):
    image = picture(*size)
    before = image.copy()
    drawn = add_legend(image, [('a long name of a class', (255, 0, 0))])
    assert drawn.shape[0] == size[0]
    assert np.array_equal(drawn[:, :size[1]], before)
    assert np.array_equal(image, before)


def test_side_by_side_with_ignored_pixels():
    image = picture(40, 30)
    shown = displayable(image)
    labels, prediction = _labels(40, 30).astype(int), _labels(40, 30)[::-1].astype(int)
    labels[:5] = 255
    drawn = Painter(CLASSES, PALETTE).side_by_side(shown, [labels, prediction])
    plain = Painter(CLASSES, PALETTE, legend=False)
    assert np.array_equal(drawn[:5, :30], shown[:5])
    assert np.array_equal(drawn[5:, :30], plain(image, np.where(labels == 255, 0, labels))[5:])
    assert np.array_equal(drawn[:, 30:60], plain(image, prediction))
    assert drawn.shape[1] > 60
    nothing = Painter(CLASSES, PALETTE).side_by_side(shown, [np.full((40, 30), 255)])
    assert np.array_equal(nothing, shown)
