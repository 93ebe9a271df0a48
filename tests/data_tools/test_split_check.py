"""Pipelines of training and evaluation that show the network different things."""

import copy
from pathlib import Path

import pytest
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.registry import TRANSFORMS, init_default_scope

from mmseg_attn.common.classes import datasets_in
from mmseg_attn.data_tools.class_map import ClassMap
from mmseg_attn.data_tools.config_data import ConfigData
from mmseg_attn.data_tools.findings import Level
from mmseg_attn.data_tools.pairs import Pair, PairContent
from mmseg_attn.data_tools.split_check import check_splits

FOLDER = Path(__file__).parents[2] / 'configs'
LOAD, LABELS, PACK = dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')
CROP = dict(type='RandomCrop', crop_size=(256, 256))
FIXED = dict(type='Resize', scale=(256, 256), keep_ratio=False)
RANDOM = dict(type='RandomResize', scale=(512, 512), ratio_range=(0.5, 2.0), keep_ratio=True)


@TRANSFORMS.register_module()
class Sharpen(BaseTransform):
    def transform(self, results: dict) -> dict:
        return results


def _titles(cfg: Config, size: tuple[int, int] = (1024, 768)) -> list[str]:
    init_default_scope('mmseg')
    data = [ConfigData(split, where, str(dataset['type']), [], ClassMap(
                ('a', 'b'), (), 255, dataset.get('reduce_zero_label', False)), pipeline=dataset.get('pipeline') or [])
            for split in ('train', 'val', 'test') if cfg.get(f'{split}_dataloader')
            for where, dataset in datasets_in(cfg[f'{split}_dataloader']['dataset'], f'{split}_dataloader.dataset')]
    content = PairContent(Pair('a.png', 'a.png'), size=size)
    findings = check_splits(cfg, data, [[content]] * len(data))
    assert all(finding.level is Level.WARNING and finding.advice for finding in findings)
    return [finding.title for finding in findings]


def _config(train: list[dict], val: list[dict], **val_settings) -> Config:
    train, val = copy.deepcopy(([*train, PACK], [*val, PACK]))
    return Config(dict(
        train_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=dict(type='BaseSegDataset', pipeline=train))),
        val_dataloader=dict(dataset=dict(type='BaseSegDataset', pipeline=val, **val_settings))))


# The others share their pipelines; the full run takes all.
@pytest.mark.parametrize('path', [
    pytest.param(path, marks=() if path.stem.startswith('emanet') else pytest.mark.slow)
    for pattern in ('*.py', 'official/*.py', 'recipes/*.py') for path in sorted(FOLDER.glob(pattern))],
    ids=lambda path: str(path.relative_to(FOLDER)))
def test_no_false_alarm(path):
    cfg = Config.fromfile(path, import_custom_modules=False)
    for size in (2048, 1024), (500, 375), (480, 360), (160, 160):
        assert _titles(cfg, size) == []


@pytest.mark.parametrize(('train', 'val'), [
    ([LOAD, LABELS, RANDOM, CROP, dict(type='PhotoMetricDistortion')], [LOAD, dict(FIXED, keep_ratio=True), LABELS]),
    ([LOAD, LABELS, RANDOM, CROP], [LOAD, FIXED, LABELS]),
    ([LOAD, LABELS, FIXED], [LOAD, FIXED, LABELS]),
    ([LOAD, LABELS, CROP], [LOAD, LABELS]),
    ([LOAD, LABELS, CROP], [LOAD, dict(FIXED, scale=(1024, 768)), LABELS]),
    ([LOAD, LABELS, CROP], [LOAD, dict(type='ResizeToMultiple', size_divisor=32), LABELS]),
    ([LOAD, LABELS, dict(type='RandomApply', transforms=[dict(type='CLAHE')])], [LOAD, LABELS]),
    ([dict(LOAD, color_type='color')], [dict(type='mmcv.LoadImageFromFile')]),
    ([LOAD, LABELS, dict(type='Sharpen')], [LOAD, LABELS])])
def test_what_is_normal(train, val):
    assert _titles(_config(train, val)) == []


@pytest.mark.parametrize(('train', 'val', 'expected'), [
    ([dict(LOAD, color_type='grayscale')], [LOAD],
     "val_dataloader.dataset loads images by LoadImageFromFile(color_type='color'), and "
     "train_dataloader.dataset.dataset by LoadImageFromFile(color_type='grayscale')"),
    ([LOAD], [dict(LOAD, to_float32=True)], 'to_float32=True'),
    ([dict(LOAD, imdecode_backend='pillow')], [LOAD], "imdecode_backend='pillow'"),
    ([dict(type='LoadImageFromNpyFile')], [LOAD], 'loads images by LoadImageFromFile'),
    ([LOAD, LABELS], [LOAD, dict(type='CLAHE'), LABELS],
     'CLAHE is in the pipeline of val_dataloader.dataset, and not in that of train_dataloader.dataset.dataset'),
    ([LOAD, dict(type='CLAHE'), LABELS], [LOAD, LABELS], 'CLAHE is in the pipeline of train_dataloader'),
    ([LOAD, LABELS], [LOAD, dict(type='Sharpen'), LABELS], 'Sharpen is in the pipeline of val_dataloader'),
    ([LOAD, LABELS, CROP], [LOAD, FIXED, LABELS],
     'Resize is in the pipeline of val_dataloader.dataset, where it makes images 0.25 times as large, and no resizing'),
    ([LOAD, LABELS, FIXED], [LOAD, LABELS], 'Resize is in the pipeline of train_dataloader.dataset.dataset, where')])
def test_what_is_told(train, val, expected):
    title, = _titles(_config(train, val))
    assert expected in title


def test_reduce_zero_label():
    title, = _titles(_config([LOAD, LABELS], [LOAD, LABELS], reduce_zero_label=True))
    assert title == ('reduce_zero_label is True in val_dataloader.dataset, and False in '
                     'train_dataloader.dataset.dataset')
