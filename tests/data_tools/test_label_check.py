"""What is said about the values of label maps."""

import warnings

import numpy as np
import pytest
from mmseg.datasets import CityscapesDataset
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from mmseg_attn.data_tools.class_map import ClassMap
from mmseg_attn.data_tools.config_data import ConfigData
from mmseg_attn.data_tools.examination import Histogram, check_classes
from mmseg_attn.data_tools.findings import Level
from mmseg_attn.data_tools.label_check import check_channels, check_values
from mmseg_attn.data_tools.pairs import CHANNELS, Pair, PairContent, Problem


def _data(classes: int = 3, ignore_index: int = 255, own: int = 255, **class_map) -> ConfigData:
    names = CityscapesDataset.METAINFO['classes'] if classes == 19 else tuple(f'class {i}' for i in range(classes))
    palette = tuple((i, i, 9) for i in range(classes))
    class_map = ClassMap(names, palette, ignore_index, **class_map)
    return ConfigData('train', 'train_dataloader.dataset', 'X', [], class_map, own)


def _contents(*values: set[int], mode: str = 'L', lossy: bool = False) -> list[PairContent]:
    return [PairContent(Pair(f'{i}.jpg', f'{i}.png'), (4, 4), dict.fromkeys(some, 5), mode=mode, lossy=lossy)
            for i, some in enumerate(values)]


@pytest.mark.parametrize('label_map', [None, {0: 1, 1: 0, 2: 255, 3: 2}])
@pytest.mark.parametrize('reduce_zero_label', [False, True])
def test_values_are_those_that_mmseg_loads(tmp_path, label_map, reduce_zero_label):
    raw = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(raw).save(tmp_path / 'a.png')
    info = dict(seg_map_path=str(tmp_path / 'a.png'), reduce_zero_label=reduce_zero_label, label_map=label_map,
                seg_fields=[])
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        loaded = LoadAnnotations()(info)['gt_seg_map']
    class_map = ClassMap(('a', 'b', 'c'), (), 255, reduce_zero_label, label_map)
    np.testing.assert_array_equal(class_map.table[raw], loaded)
    assert [class_map.trained_as(value) for value in range(256)] == loaded.flatten().tolist()


@pytest.mark.parametrize(('data', 'values', 'title'), [
    (_data(), {0, 300}, 'beyond 8 bits'),
    (_data(), {0, 1, 65535}, r'beyond 8 bits \(0 to 255\), which training refuses'),
    (_data(), {0, -1}, 'beyond 8 bits'),
    (_data(ignore_index=9), {0, 255}, 'masks of 0 and 255'),
    (_data(classes=19), {7, 26, 33}, 'ids of Cityscapes'),
    (_data(own=9), {0, 1, 9}, 'the value 9, which the data set ignores and the model does not'),
    (_data(ignore_index=9, own=9), {0, 1, 255}, 'the value 255, which is neither a class nor ignored'),
    (_data(), {0, 1, 2, 3}, 'the value 3, and the last class is 2'),
    (_data(), set(range(0, 250, 7)), 'many values that are no classes'),
    (_data(), {1, 5, 150}, r'neither classes \(0 to 2\) nor ignored \(255\)'),
    (_data(reduce_zero_label=True), {0, 1, 4}, r'neither classes \(0 to 2\) nor ignored')])
def test_the_classic_cases(data, values, title):
    finding, = check_values(data, _contents({0, 1}, values))
    assert finding.level is Level.ERROR
    assert finding.title.startswith('1 label map: ')
    assert finding.files[0].startswith('1.png: ')
    assert len(finding.files) == 1
    with pytest.raises(AssertionError, match=title):
        raise AssertionError(finding.title)


@pytest.mark.parametrize('data', [_data(), _data(classes=4, reduce_zero_label=True), _data(ignore_index=11, own=11)])
def test_nothing_wrong(data):
    assert check_values(data, _contents({0, 1, 2}, {data.class_map.ignore_index, 1}, {1})) == []


def test_one_class_beside_the_background():
    finding, = check_values(_data(classes=1), _contents({0, 1}))
    assert finding.title == '1 label map: the value 1, and the only class is 0'
    assert 'reduce_zero_label' not in finding.advice
    assert 'num_classes=2, out_channels=1' in finding.advice


def test_files_of_one_case_are_told_together():
    findings = check_values(_data(ignore_index=9), _contents({0, 255}, {0, 1}, {255}, {7}))
    assert [len(finding.files) for finding in findings] == [2, 1]
    assert '2 label maps: masks' in findings[0].title


@pytest.mark.parametrize(('values', 'level'), [
    ([{0, 255}, {0}, {0, 255}], Level.ERROR), ([{0, 255}, {0, 1}], Level.WARNING)])
def test_masks_whose_foreground_is_ignored(values, level):
    finding, = check_values(_data(classes=2), _contents(*values))
    assert finding.level is level
    assert 'nothing but 0 and 255, and 255 is ignored' in finding.title


def test_deep_label_maps_that_are_read_right():
    finding, = check_values(_data(), _contents({0, 1, 255}, mode='I;16'))
    assert (finding.level, finding.files) == (Level.WARNING, ['0.png: I;16'])


def test_a_jpeg_is_no_label_map():
    error, = check_values(_data(), _contents({0, 1, 4, 9}, lossy=True))
    warning, = check_values(_data(), _contents({0, 1}, lossy=True))
    assert (error.level, warning.level) == (Level.ERROR, Level.WARNING)
    assert 'JPEG' in error.title
    assert 'JPEG' in warning.title


@pytest.mark.parametrize(('colours', 'title'), [
    ([], 'all equal'), ([(0, 0, 9), (2, 2, 9), (0, 0, 0)], 'in the colours of'), ([(1, 2, 3)], 'or photographs')])
def test_pictures_instead_of_label_maps(colours, title):
    content = PairContent(Pair('a.jpg', 'a.png'), colours=colours, problems=[Problem(CHANNELS, 'a.png', 'RGB')])
    finding, = check_channels(_data(), [content])
    assert finding.level is Level.ERROR
    assert title in finding.title


def test_the_histogram_counts_classes_and_not_raw_values():
    data = _data(ignore_index=255, reduce_zero_label=True)
    histogram = Histogram(data.class_map.classes)
    for content in _contents({0, 1, 2}, {2, 9, 300, 511}):
        histogram.add(data, content)
    assert (histogram.pixels, histogram.images) == ([5, 10, 0], [1, 2, 0])
    assert (histogram.ignored, histogram.other, histogram.total) == (5, 15, 35)


@pytest.mark.parametrize(('split', 'pixels', 'ignored', 'expected'), [
    ('train', [3, 1, 2], 10, []),
    ('train', [3, 1, 0], 0, [(Level.WARNING, '1 of 3 classes never occur in train: class 2')]),
    ('val', [0, 1, 0], 0, [(Level.WARNING, 'only class 1 occurs in val')]),
    ('train', [9, 0, 0], 0, [(Level.ERROR, 'only class 0 occurs in train')]),
    ('train', [0, 0, 0], 9, [(Level.ERROR, 'no class at all occurs in train'),
                             (Level.WARNING, '100.0% of the pixels in train are ignored')])])
def test_is_there_something_to_learn(split, pixels, ignored, expected):
    histogram = Histogram(('class 0', 'class 1', 'class 2'))
    histogram.pixels, histogram.ignored = pixels, ignored
    assert [(finding.level, finding.title) for finding in check_classes(split, histogram)] == expected
