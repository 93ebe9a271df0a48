"""Images of many kinds, each with the loading steps of a config that trains on them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import tifffile
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import TRANSFORMS
from PIL import Image

from tests.explain.models import config

SIZE = (44, 60)
RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (*SIZE, 3), np.uint8)
WIDE = RANDOM.integers(0, 2 ** 16, (*SIZE, 3), np.uint16)
BANDS = RANDOM.normal(-15, 4, (*SIZE, 5)).astype(np.float32)  # decibels


@TRANSFORMS.register_module()
class LoadMyArray(BaseTransform):
    """What a user writes for files of their own."""

    def transform(self, results: dict) -> dict:
        image = np.load(results['img_path'])
        return dict(results, img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])


@TRANSFORMS.register_module()
class LoadMyShape(LoadMyArray):
    """Tells the shape of the array in place of height and width."""

    def transform(self, results: dict) -> dict:
        results = super().transform(results)
        return dict(results, img_shape=results['img'].shape, ori_shape=results['img'].shape)


@TRANSFORMS.register_module()
class LoadMySizeless(BaseTransform):
    """Forgets what every pipeline needs."""

    def transform(self, results: dict) -> dict:
        return dict(results, img=np.load(results['img_path']))


@TRANSFORMS.register_module()
class DropMyTransparency(BaseTransform):
    """Does always what PhotoMetricDistortion does now and then."""

    def transform(self, results: dict) -> dict:
        return dict(results, img=results['img'][..., :3])


@dataclass(frozen=True)
class Kind:
    """
    Attributes:
        suffix: of the files.
        write: writes one.
        steps: of the test pipeline, until the labels are loaded.
        channels: that the network gets.
        labels: the step that loads them.
        inferencer: whether mmseg's MMSegInferencer takes such a config.
    """

    suffix: str
    write: Callable[[Path], object]
    steps: list[dict] = field(default_factory=lambda: [dict(type='LoadImageFromFile')])
    channels: int = 3
    labels: str | type = 'LoadAnnotations'
    inferencer: bool = True


def _loading(**options) -> list[dict]:
    return [dict(type='LoadImageFromFile', **options)]


def _png(pixels: np.ndarray) -> Callable[[Path], object]:
    return lambda path: cv2.imwrite(str(path), pixels)


def _turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOUR).save(path, exif=exif)


def _tiff(pixels: np.ndarray) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, pixels, planarconfig='contig' if pixels.ndim == 3 else None,
                                         photometric='minisblack')


def _npy(pixels: np.ndarray) -> Callable[[Path], object]:
    return lambda path: np.save(path, pixels)


RESIZE = dict(type='Resize', scale=(90, 66), keep_ratio=False)
KINDS = {
    'colour': Kind('.png', _png(COLOUR)),
    'scopes': Kind('.png', _png(COLOUR), [dict(type='mmcv.LoadImageFromFile')], labels='mmseg.LoadAnnotations',
                   inferencer=False),
    'classes': Kind('.png', _png(COLOUR), [dict(type=LoadImageFromFile)], inferencer=False),
    'resized': Kind('.png', _png(COLOUR), [*_loading(), RESIZE]),
    'floats': Kind('.png', _png(COLOUR), _loading(to_float32=True)),
    'read by Pillow': Kind('.png', _png(COLOUR), _loading(imdecode_backend='pillow')),
    'GIF': Kind('.gif', lambda path: Image.fromarray(COLOUR).save(path), _loading(imdecode_backend='pillow')),
    'turned': Kind('.jpg', _turned),
    'turned and ignored': Kind('.jpg', _turned, _loading(color_type='color_ignore_orientation')),
    'grey': Kind('.png', _png(COLOUR), _loading(color_type='grayscale'), 1),
    'grey as it is': Kind('.png', _png(COLOUR[..., 0]), _loading(color_type='unchanged'), 1),
    '16 bits in 8': Kind('.png', _png(WIDE)),
    '16 bits': Kind('.png', _png(WIDE), _loading(color_type='unchanged', to_float32=True)),
    '16 bits of one channel': Kind('.tif', _png(WIDE[..., 0]), _loading(color_type='unchanged', to_float32=True), 1),
    'transparency': Kind('.png', _png(np.dstack([COLOUR, COLOUR[..., :1]])), _loading(color_type='unchanged'), 4),
    'floats of one channel': Kind('.tif', _tiff(BANDS[..., 0]), _loading(color_type='unchanged'), 1),
    'floats of three channels': Kind('.tif', _tiff(BANDS[..., :3]), _loading(color_type='unchanged')),
    '32 bits': Kind('.tif', _tiff(WIDE[..., 0].astype(np.int32)), _loading(color_type='unchanged'), 1),
    'bands': Kind('.tif', _tiff(BANDS), _loading(color_type='unchanged', imdecode_backend='tifffile'), 5),
    'made grey': Kind('.png', _png(COLOUR), [*_loading(), dict(type='RGB2Gray', out_channels=1)], 1, inferencer=False),
    'shapes of arrays': Kind('.npy', _npy(BANDS), [dict(type='LoadMyShape')], 5, inferencer=False),
    'arrays': Kind('.npy', _npy(BANDS), [dict(type='LoadMyArray')], 5, inferencer=False),
}


def config_of(kind: Kind, folder: Path) -> Config:
    """A config that trains and tests on files of a kind, in ``folder``."""
    cfg = config(**{
        'model__backbone__in_channels': kind.channels,
        'model__data_preprocessor__type': 'mmseg_attn.SegDataPreProcessor',
        'model__data_preprocessor__mean': [90.0 + i for i in range(kind.channels)],
        'model__data_preprocessor__std': [50.0 + i for i in range(kind.channels)]})
    pipeline = [*kind.steps, dict(type=kind.labels), dict(type='PackSegInputs')]
    for split in 'train', 'val', 'test':
        cfg[f'{split}_dataloader'].update(num_workers=0, persistent_workers=False, batch_size=1)
        cfg[f'{split}_dataloader']['dataset'] = dict(
            type='BaseSegDataset', data_root=str(folder), data_prefix=dict(img_path='images', seg_map_path='labels'),
            img_suffix=kind.suffix, seg_map_suffix='.png', pipeline=pipeline,
            metainfo=dict(classes=list('abcde'), palette=[[40 * i, 0, 90] for i in range(5)]))
    return cfg


def write_files(kind: Kind, folder: Path, number: int = 2) -> list[Path]:
    """Images of a kind and label maps, in the folders of :func:`config_of`."""
    for name in 'images', 'labels':
        (folder / name).mkdir(parents=True, exist_ok=True)
    paths = [folder / 'images' / f'{i}{kind.suffix}' for i in range(number)]
    for path in paths:
        kind.write(path)
        size = SIZE[::-1] if kind is KINDS['turned'] else SIZE
        labels = RANDOM.integers(0, 5, size, np.uint8)
        Image.fromarray(labels).save(folder / 'labels' / f'{path.stem}.png')
    return paths
