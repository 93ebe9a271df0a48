"""Writes a config that trains on a data set of one's own."""

import functools
import operator
import os
import statistics
import textwrap
from pathlib import Path

import numpy as np

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import write_text
from mmseg_attn.common.palette import default_palette
from mmseg_attn.common.shipped import configs_folder

from .bands import Bands
from .content import Size
from .drawing import IGNORED
from .split import TRAIN, VAL
from .writing import Written

BASE = 'emanet_r18_camvid.py'
LONGEST = 1024  # pixels of a side that are trained on
CROPS = 64, 512
STEP = 32
TTA_RATIOS = 0.75, 1, 1.25

HEAD = '# Written by mmseg-attn prepare_data.'
TEXT = HEAD + '''\
 ResNet-18 from random weights{weights}
_base_ = {base}

data_root = {root}
classes = (
    {classes})
palette = [
    {palette}]
ignored = {ignored}
{size_comment}
scale = {scale}
crop_size = {crop}

train_pipeline = [
    {load},
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=scale, ratio_range=(0.5, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75, ignore_index=ignored),
    dict(type='RandomFlip', prob=0.5),
{distortion}    dict(type='PackSegInputs'),
]
test_pipeline = [
    {load},
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
tta_pipeline = [
    {load},
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=size, keep_ratio=True) for size in {tta_scales}],
            [dict(type='RandomFlip', prob=0.0, direction='horizontal'),
             dict(type='RandomFlip', prob=1.0, direction='horizontal')],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ]),
]
data = dict(
    _delete_=True, type='BaseSegDataset', data_root=data_root, img_suffix={suffix}, seg_map_suffix='.png',
    ignore_index=ignored, reduce_zero_label=False, metainfo=dict(classes=classes, palette=palette))
train_dataloader = dict(dataset=dict(
    **data, data_prefix=dict(img_path='images/{train}', seg_map_path='labels/{train}'), pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(
    **data, data_prefix=dict(img_path='images/{val}', seg_map_path='labels/{val}'), pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ignore_index=ignored)
test_evaluator = val_evaluator
model = dict(
    data_preprocessor=dict({values}size=crop_size, seg_pad_val=ignored),{backbone}
    decode_head=dict(num_classes={count}, ignore_index=ignored),
    auxiliary_head=dict(num_classes={count}, ignore_index=ignored))
'''


# Of images in colours.
COLOURS = dict(
    weights=''', which needs no download. With the network at hand,
# pretrained weights are much better: --cfg-options model.pretrained=open-mmlab://resnet18_v1c''',
    load="dict(type='LoadImageFromFile')", distortion="    dict(type='PhotoMetricDistortion'),\n", values='',
    backbone='')
# Of TIFF that only tifffile reads. PhotoMetricDistortion is for three colours.
BANDS = dict(
    weights=': pretrained ones are for three colours.',
    load="dict(type='LoadImageFromFile', color_type='unchanged', imdecode_backend='tifffile', to_float32=True)",
    distortion='', values='''
        type='mmseg_attn.SegDataPreProcessor', bgr_to_rgb=False,
        # Of each band, measured in the training images.
{mean}
{std}
        ''', backbone='''
    backbone=dict(in_channels={number}),''')


def config_text(written: Written, file: Path) -> str:
    """The config, for a place from which its base is found."""
    trained = [one for one in written.images if one.split == TRAIN]
    sizes = [one.size for one in trained]
    middle = int(statistics.median(size[0] for size in sizes)), int(statistics.median(size[1] for size in sizes))
    scale = scale_of(middle)
    of = f'the middle size of the training images is {middle[0]} x {middle[1]}'
    comment = f'# Images are resized to fit this, times 0.5 to 1.5 in training; {of}.'
    count = len(written.classes)
    bands = [one.bands for one in trained if one.bands is not None]
    return TEXT.format(
        base=quoted(base_of(file)), root=quoted(written.root.as_posix()),
        classes=',\n    '.join(map(quoted, written.classes)),
        palette=',\n    '.join(map(str, default_palette(count))), ignored=IGNORED, size_comment=comment, scale=scale,
        tta_scales=[tuple(round(side * ratio) for side in scale) for ratio in TTA_RATIOS], crop=crop_of(scale),
        suffix=quoted(written.suffix), train=TRAIN, val=VAL, count=count, **(_of_bands(bands) if bands else COLOURS))


def _of_bands(bands: list[Bands]) -> dict[str, str]:
    total = functools.reduce(operator.add, bands)
    numbers = dict(mean=_list('mean', total.mean), std=_list('std', total.std), number=len(total.counts))
    return {name: text.format(**numbers) for name, text in BANDS.items()}


def _list(name: str, values: np.ndarray) -> str:
    text = f'{name}=[{", ".join(f"{value:.6g}" for value in values.tolist())}],'
    return textwrap.fill(text, 118, initial_indent=' ' * 8, subsequent_indent=' ' * (10 + len(name)))


def quoted(text: str) -> str:
    """As a literal of Python. mmengine runs a config after it has replaced what stands in ``{{ }}``, also within
    quotes and with them, so that a name from an annotation file could become code.
    """
    return repr(text).replace('{', r'\x7b')


def scale_of(size: Size) -> Size:
    """The size itself, or smaller with the same ratio, where a side is longer than :data:`LONGEST`."""
    ratio = min(1, LONGEST / max(size))
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def crop_of(scale: Size) -> Size:
    """Three quarters of the shorter side, in steps, as CamVid's 256 of 360."""
    side = min(max(int(0.75 * min(scale)) // STEP * STEP, CROPS[0]), CROPS[1])
    return side, side


def base_of(file: Path) -> str:
    """The base config: relative in the working copy, which may be moved, and whole elsewhere."""
    base = configs_folder().resolve() / BASE
    folder = file.resolve().parent
    if base.is_relative_to(folder) or folder.is_relative_to(base.parents[1]):
        return Path(os.path.relpath(base, folder)).as_posix()
    return base.as_posix()


def require_config_place(file: Path) -> None:
    """
    Raises:
        UserError: a config cannot be read from there, or a file is there that this did not write.
    """
    if file.suffix != '.py' or '.' in file.stem:
        raise UserError(f'--write-config {file}: a config is a file NAME.py, without another dot in its name')
    if file.is_dir():
        raise UserError(f'--write-config {file} is a folder')
    if file.exists() and not _content(file).startswith(HEAD):
        raise UserError(_is_there(file))


def require_same_config(expected: Written, file: Path) -> None:
    """Where the content is known before the data set is written: the annotations say how large the images are, which
    are no TIFF, whose bands may have to be measured.

    Raises:
        UserError: the file is there with another content.
    """
    is_known = all(one.size is not None for one in expected.images) and expected.suffix != '.tif'
    if file.exists() and is_known and _content(file) != config_text(expected, file):
        raise UserError(_is_there(file))


def write_config(written: Written, file: Path) -> None:
    """
    Raises:
        UserError: the file is there with another content.
    """
    text = config_text(written, file)
    if not file.exists():
        write_text(file, text)
    elif _content(file) != text:
        raise UserError(f'{_is_there(file)}. {written.root} is whole')


def _content(file: Path) -> str:
    return file.read_text(encoding='utf-8', errors='replace')


def _is_there(file: Path) -> str:
    return (f'{file} is there with another content, and was not changed: choose another --write-config, or move it '
            'away')
