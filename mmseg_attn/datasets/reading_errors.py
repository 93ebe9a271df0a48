"""Errors of reading data, with the file that they come from."""

import copy
import os.path as osp
import traceback
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import Compose
from mmseg.datasets.transforms import LoadAnnotations
from PIL import Image

from mmseg_attn.common.errors import PACKAGE, DataError, UserError
from mmseg_attn.common.image_files import (
    EIGHT_BIT_MODES,
    ImageFileError,
    hint_at,
    image_size,
    read_bytes,
    reason_of,
    what_else,
)
from mmseg_attn.common.inputs import InputError, Passage
from mmseg_attn.common.loading_steps import is_for_labels, reads_labels

from .eight_bits import EightBitGuard


def name_files_in_errors(dataset: object, channels: int | None = None) -> None:
    """Has a data set say in its errors which file they are about, and refuse label maps that do not fit their images.

    Errors outside of its pipeline, of a class of the user's own, are named where a loader fetches a batch.

    What loads files stays the transforms of its pipeline. Data sets in wrappers such as ConcatDataset are found.

    Args:
        dataset: a data set of mmengine.
        channels: of the images that the network takes, where that is known.
    """
    for leaf in leaves_of(dataset):
        if isinstance(getattr(leaf, 'pipeline', None), Compose):
            leaf.pipeline = CheckedPipeline(leaf.pipeline, channels)
    if not hasattr(dataset, '__getitems__'):
        # Where PyTorch's loaders ask first. What stands in the class itself cannot be changed for one data set.
        dataset.__getitems__ = partial(_items_of, dataset)  # type: ignore[attr-defined]


def item_of(dataset: Any, index: int) -> Any:
    """One item of a data set, whose class may be the user's own and fail outside of its pipeline.

    Raises:
        DataError: it fails.
    """
    try:
        return dataset[index]
    except UserError:
        raise
    except Exception as error:  # code of the user's own raises anything
        try:
            image = f'{dataset.get_data_info(index)["img_path"]}, number {index}'
        except Exception:
            image = f'image number {index}'
        raise DataError(f'{image} of the data set ({type(dataset).__name__}): reading it fails: '
                        f'{type(error).__name__}: {reason_of(error)}{_line_of(error)}') from error


def _items_of(dataset: Any, indices: list[int]) -> list:
    return [item_of(dataset, index) for index in indices]


def _line_of(error: Exception) -> str:
    """The innermost line of what is neither installed nor of this package."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if 'site-packages' not in frame.filename
              and not Path(frame.filename).is_relative_to(PACKAGE)]
    return f' ({frames[-1].filename}, line {frames[-1].lineno})' if frames else ''


def leaves_of(dataset: object) -> Iterator:
    """The data sets inside of wrappers such as ConcatDataset, or the only one."""
    inner = getattr(dataset, 'datasets', None) or ([dataset.dataset] if hasattr(dataset, 'dataset') else [])
    if not inner:
        yield dataset
    for each in inner:
        yield from leaves_of(each)


class CheckedPipeline(Compose):
    """A pipeline whose errors name the file.

    Raises:
        DataError: a transform fails; a label map is not of the size of its image, has several channels or holds no
            numbers of classes; an image has other channels than the network takes, values that are not finite, or
            such as PhotoMetricDistortion would clip, or no step has told its size.
    """

    def __init__(self, pipeline: Compose, channels: int | None = None):
        self.transforms = pipeline.transforms
        self.channels = channels

    def __call__(self, data: dict) -> dict | None:
        passage, result, image = Passage(data), data, data.get('img_path')
        for transform, result in zip(self.transforms, self.run(data), strict=False):
            passage.note(transform, result)
        try:
            passage.check(result, self.channels, (self.transforms or [None])[0])
        except DataError as error:
            raise type(error)(f'{image}: {error}') from error
        return result

    def run(self, data: dict) -> Iterator:
        """What each transform has made; None is the last."""
        image, label = data.get('img_path'), data.get('seg_map_path')
        is_checked = False
        guard = EightBitGuard(self.transforms)
        for transform in self.transforms:
            problem = guard.problem_before(transform, data)
            if problem:
                raise InputError(f'{image}: {problem}')
            try:
                data = transform(data)
            except DataError:
                raise
            except Exception as error:  # decoders raise whatever they come across
                raise DataError(_explain(error, transform, image, label)) from error
            if not is_checked and isinstance(data, dict) and 'gt_seg_map' in data:
                # Before anything cuts both, which would hide it.
                _check_label(data, transform, image, label)
                is_checked = True
            guard.see(transform, data)
            yield data
            if data is None:
                return


def load_labels(steps: tuple[dict, ...], told: dict) -> np.ndarray:
    """The labels as these steps of a pipeline load them, from what the data set tells.

    Raises:
        DataError: what training would raise.
    """
    pipeline = CheckedPipeline(Compose(list(steps)))
    for data, then in zip(pipeline.run(copy.deepcopy(told)), [*steps[1:], None], strict=False):
        labels = data.get('gt_seg_map') if isinstance(data, dict) else None
        if labels is not None and (then is None or not reads_labels(then)):
            return np.asarray(labels)
    raise DataError(f"{told.get('img_path')}: no step of the pipeline loads labels, which it would set as 'gt_seg_map'")


def _explain(error: Exception, transform: object, image: str | None, label: str | None) -> str:
    name = type(transform).__name__
    loads_labels = is_for_labels(transform)
    if not loads_labels and not name.startswith('Load'):
        return f'{image}: {name} of the pipeline fails: {type(error).__name__}: {reason_of(error)}'
    path, what = (label, 'label map') if loads_labels else (image, 'image')
    if path is None:
        return (f'{image} has no label map: set data_prefix.seg_map_path of the data set, or predict unlabelled images '
                'with mmseg-attn infer')
    path = str(path)
    if '://' not in path and not osp.isfile(path):
        of = f' of {image}' if loads_labels else ''
        unlabelled = '; unlabelled images are predicted by mmseg-attn infer' if loads_labels else ''
        return (f'there is no {what} {path}{of}{hint_at(Path(path))}.\n'
                f'  mmseg-attn check_data names all that are missing{unlabelled}')
    if '://' not in path and osp.getsize(path) == 0:
        return f'{path}: the {what} is empty: copy or unpack it again'
    return f'{path}: {name} cannot read the {what}: {_kind_of(path, transform) or reason_of(error).splitlines()[0]}'


def _kind_of(path: str, transform: object) -> str | None:
    """What a file is that is not damaged, and that mmcv or mmseg cannot read all the same."""
    if '://' in path or type(transform) not in (LoadImageFromFile, LoadAnnotations):
        return None
    try:
        data = read_bytes(path)
        if isinstance(transform, LoadImageFromFile):
            image_size(data)
        return what_else(data)
    except ImageFileError as error:
        return str(error) if error.other else None


def _check_label(data: dict, transform: object, image: str | None, label: str | None) -> None:
    shape, size = np.shape(data['gt_seg_map']), data.get('ori_shape')
    if len(shape) < 2:
        raise DataError(f'{label}: a side of the label map has 1 pixel, which mmseg cannot read: leave the image out')
    if len(shape) == 3 and shape[2] <= 4:
        backend = getattr(transform, 'imdecode_backend', None) or 'pillow'
        advice = ('docs/data_preparation.md shows how to make it of colours' if backend == 'pillow' else
                  f'imdecode_backend={backend!r} of {type(transform).__name__} makes colours of a palette, and '
                  "'pillow', the default of mmseg, class numbers")
        raise DataError(f'{label}: the label map has {shape[2]} channels (its shape is {shape}), and must be (height, '
                        f'width), of class numbers; {advice}')
    if len(shape) == 2 and size is not None and tuple(size[:2]) != shape:
        pixels = np.shape(data.get('img'))
        advice = ('its bands lie first, and must be the last axis' if pixels[1:] == shape else
                  'each pixel of the image needs its label (resize with nearest neighbour only)')
        raise DataError(f'{label}: the label map has {shape[1]} x {shape[0]} pixels, and {image} has {size[1]} x '
                        f'{size[0]}: {advice}')
    if getattr(type(transform), '_load_seg_map', None) is LoadAnnotations._load_seg_map:
        _check_cast(label)
    else:
        values = np.asarray(data['gt_seg_map'])
        _refuse(values[values != np.round(values)] if values.dtype.kind == 'f' else [], label,
                'labels are whole numbers, the numbers of classes')


def _check_cast(label: str | None) -> None:
    """Finds what mmseg's cast to 8 bits would hide. The kind of pixels stands in the first bytes of a file."""
    if not label or '://' in str(label):
        return
    try:
        with Image.open(label) as file:
            if file.mode in EIGHT_BIT_MODES:
                return
            values = np.array(file)
    except Exception:  # of a kind that Pillow does not know, which was loaded all the same
        return
    if values.dtype.kind in 'iuf':
        _refuse(values[~((values >= 0) & (values <= 255) & (values == np.round(values)))], label,
                'mmseg keeps whole numbers from 0 to 255: save 8-bit PNGs of class numbers')


def _refuse(wrong: Sequence | np.ndarray, label: str | None, advice: str) -> None:
    if len(wrong):
        raise DataError(f'{label}: the label map holds {wrong[0]}, and {advice}')
