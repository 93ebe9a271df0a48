"""Label maps of a kind of the user's own: check_data reads them by the transform that training reads them by."""

import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_attn.data_tools.check import DataCheck
from mmseg_attn.data_tools.overlays import choose, overlay
from mmseg_attn.data_tools.pairs import decode_image, decode_label
from mmseg_attn.datasets.reading_errors import DataError, name_files_in_errors

from .kinds import KINDS, SIZE, config_of, write_files

LABELS = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE) % 5


@TRANSFORMS.register_module()
class LoadMyLabels(BaseTransform):
    def transform(self, results: dict) -> dict:
        labels = np.load(results['seg_map_path'])
        assert results['img'].shape[:2] == SIZE  # it may need the image
        return dict(results, gt_seg_map=labels, seg_fields=['gt_seg_map'])


@TRANSFORMS.register_module()
class LoadMyBoth(BaseTransform):
    """Image and labels in one transform, under a name that says nothing of labels."""

    def transform(self, results: dict) -> dict:
        image = np.array(Image.open(results['img_path']))
        return dict(results, img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2],
                    gt_seg_map=np.load(results['seg_map_path']), seg_fields=['gt_seg_map'])


@TRANSFORMS.register_module()
class LoadMyIds(BaseTransform):
    """Ids of 16 bits, a thousand for each class."""

    def transform(self, results: dict) -> dict:
        labels = np.array(Image.open(results['seg_map_path'])) // 1000
        return dict(results, gt_seg_map=labels, seg_fields=['gt_seg_map'])


@TRANSFORMS.register_module()
class MapMyLabels(BaseTransform):
    """Behind mmseg's LoadAnnotations."""

    def transform(self, results: dict) -> dict:
        return dict(results, gt_seg_map=results['gt_seg_map'] // 10)


PIPELINES = {
    'arrays': [dict(type='LoadImageFromFile'), dict(type='LoadMyLabels')],
    'both': [dict(type='LoadMyBoth')],
    'ids': [dict(type='LoadImageFromFile'), dict(type='LoadMyIds')],
    'mapped': [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='MapMyLabels')],
    'by mmcv': [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', imdecode_backend='cv2')],
}
SUFFIXES = dict(arrays='.npy', both='.npy')


def _save(folder, kind: str, labels: np.ndarray) -> None:
    if SUFFIXES.get(kind):
        np.save(folder / 'labels' / '1.npy', labels)
    else:
        pixels = dict(ids=labels * 1000 + 1, mapped=labels * 10 + 1).get(kind, labels)
        Image.fromarray(pixels.astype(np.uint16 if kind == 'ids' else np.uint8)).save(folder / 'labels' / '1.png')


@pytest.fixture
def cfg(tmp_path):
    """``cfg(kind, labels)``: of one image and its labels."""
    def make(kind: str, labels: np.ndarray):
        write_files(KINDS['colour'], tmp_path)
        (tmp_path / 'images' / '0.png').unlink()
        _save(tmp_path, kind, labels)
        cfg = config_of(KINDS['colour'], tmp_path)
        for split in 'train', 'val', 'test':
            cfg[f'{split}_dataloader']['dataset'].update(
                seg_map_suffix=SUFFIXES.get(kind, '.png'), pipeline=[*PIPELINES[kind], dict(type='PackSegInputs')])
        return cfg
    return make


def _check(cfg) -> tuple[DataCheck, str]:
    check = DataCheck(cfg, 1)
    check.run(['train'])
    return check, ' '.join(f'{finding.title} {finding.files} {finding.advice}' for findings in check.findings.values()
                           for finding in findings)


def _trained_on(cfg) -> np.ndarray:
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    name_files_in_errors(dataset, 3)
    return dataset[0]['data_samples'].gt_sem_seg.data[0].numpy()


@pytest.mark.parametrize('kind', PIPELINES)
def test_they_are_counted_as_they_are_trained_on(cfg, kind):
    cfg = cfg(kind, LABELS)
    check, said = _check(cfg)
    assert said == ''
    assert np.array_equal(_trained_on(cfg), LABELS)
    assert check.histograms['train'].pixels == np.bincount(LABELS.ravel()).tolist()
    [(data, content)] = choose(check.samples('train'))
    _, legend = overlay(decode_image(content.pair), decode_label(content.pair), data.class_map)
    assert {name for _, name in legend} == set('abcde')


@pytest.mark.parametrize('kind', ['arrays', 'both', 'ids', 'mapped'])
def test_values_that_are_no_classes(cfg, kind):
    _, said = _check(cfg(kind, np.where(LABELS == 4, 7, LABELS)))
    assert 'values that are neither classes (0 to 4) nor ignored (255)' in said


@pytest.mark.parametrize(('labels', 'expected'), [
    (LABELS - 1, 'values that are neither classes'),
    (LABELS + 255, 'values that are neither classes'),
    (LABELS.astype(np.int8) - np.int8(1), 'values that are neither classes')])
def test_numbers_beyond_8_bits(cfg, labels, expected):
    _, said = _check(cfg('arrays', labels))
    assert expected in said


@pytest.mark.parametrize(('labels', 'expected'), [
    (LABELS / 4, 'holds 0.25, and labels are whole numbers'),
    (LABELS[:-4], '1.npy: the label map has 60 x 40 pixels'),
    (np.dstack([LABELS] * 3), '1.npy: the label map has 3 channels')])
def test_what_training_refuses(cfg, labels, expected):
    cfg = cfg('arrays', labels)
    with pytest.raises(DataError, match=expected.replace('.', r'\.')):
        _trained_on(cfg)
    _, said = _check(cfg)
    assert expected.removeprefix('1.npy: ') in said


def test_a_file_that_cannot_be_read(cfg, tmp_path):
    cfg = cfg('arrays', LABELS)
    path = tmp_path / 'labels' / '1.npy'
    path.write_bytes(b'no array')
    _, said = _check(cfg)
    assert '1.npy: LoadMyLabels cannot read the label map' in said
    path.unlink()
    _, said = _check(cfg)
    assert '1 label map: missing' in said


def test_no_step_loads_labels(cfg):
    cfg = cfg('both', LABELS)
    cfg.train_dataloader.dataset.pipeline = [dict(type='LoadMyArray'), dict(type='PackSegInputs')]
    cfg.train_dataloader.dataset.img_suffix = '.npy'
    np.save(cfg.train_dataloader.dataset.data_root + '/images/1.npy', np.zeros((*SIZE, 3), np.uint8))
    _, said = _check(cfg)
    assert "no step of the pipeline loads labels, which it would set as 'gt_seg_map'" in said
