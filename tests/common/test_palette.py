"""Colours of classes: fixed, far apart, also for the colour-blind."""

import numpy as np
import pytest
from mmengine.config import Config

from mmseg_attn.common.classes import add_palettes, classes_of, readable_classes
from mmseg_attn.common.palette import default_palette, lab_as_seen
from mmseg_attn.common.shipped import configs_folder


def _smallest_distance(colours) -> float:
    seen = lab_as_seen(np.array(colours))
    distances = np.linalg.norm(seen[:, :, None] - seen[:, None], axis=-1)
    distances[:, range(len(colours)), range(len(colours))] = np.inf
    return distances.min()


# 2.3 is the least difference that a person sees, about 10 tells colours apart at a glance.
@pytest.mark.parametrize(('count', 'distance'), [(5, 45), (12, 20), (21, 15), (32, 11), (150, 4)])
def test_colours_are_far_apart_for_every_kind_of_vision(count, distance):
    assert _smallest_distance(default_palette(count)) > distance


def test_colours_stay_the_same():
    assert default_palette(3) == ((0, 0, 255), (232, 0, 0), (116, 0, 93))
    assert default_palette(40)[:3] == default_palette(3)
    assert len(set(default_palette(256))) == 256


def test_cielab_of_known_colours():
    normal, *dichromats = lab_as_seen(np.array([[255, 255, 255], [255, 0, 0], [0, 0, 0]]))
    np.testing.assert_allclose(normal, [[100, 0, 0], [53.24, 80.09, 67.20], [0, 0, 0]], atol=0.02)
    for seen in dichromats:
        np.testing.assert_allclose(seen[0], [100, 0, 0], atol=0.1)


def test_only_data_sets_without_colours_get_some():
    cfg = Config(dict(
        train_dataloader=dict(dataset=dict(type='ConcatDataset', datasets=[
            dict(type='BaseSegDataset', metainfo=dict(classes=['a', 'b'])),
            dict(type='BaseSegDataset', metainfo=dict(classes=['a'], palette=[[1, 2, 3]]))])),
        val_dataloader=dict(dataset=dict(type='CityscapesDataset', metainfo=dict(classes=['road']))),
        test_dataloader=None))
    add_palettes(cfg)
    first, second = cfg.train_dataloader.dataset.datasets
    assert first.metainfo.palette == [list(colour) for colour in default_palette(2)]
    assert second.metainfo.palette == [[1, 2, 3]]
    assert 'palette' not in cfg.val_dataloader.dataset.metainfo


def test_classes_are_the_checkpoints_or_the_test_datas_or_made_up():
    cfg = Config.fromfile(configs_folder() / 'emanet_r18_shapes.py')
    assert classes_of(cfg, 2, dict(classes=('x', 'y'), palette=[(1, 2, 3), (4, 5, 6)])) == dict(
        classes=['x', 'y'], palette=[(1, 2, 3), (4, 5, 6)])
    assert classes_of(cfg, 5, dict(classes=None))['classes'][1] == 'red shape'
    assert classes_of(cfg, 3) == dict(classes=['class 0', 'class 1', 'class 2'], palette=list(default_palette(3)))


@pytest.mark.parametrize('known', [
    7, dict(classes=7, palette='random'), dict(classes=[], palette=[(1, 2)]), dict(palette=[(0, 0, 256), (0, 0, 0)])])
def test_what_a_checkpoint_says_may_be_anything(known):
    assert readable_classes(known) == dict(classes=[], palette=[])


def test_classes_may_stand_in_a_file(tmp_path):
    (tmp_path / 'classes.txt').write_text('road\nwater\n')
    dataset = dict(type='BaseSegDataset', metainfo=dict(classes=str(tmp_path / 'classes.txt')))
    cfg = Config(dict(train_dataloader=dict(dataset=dataset), test_dataloader=dict(dataset=dataset)))
    assert classes_of(cfg, 2)['classes'] == ['road', 'water']
    add_palettes(cfg)
    assert len(cfg.train_dataloader.dataset.metainfo.palette) == 2
