"""Whether what a pipeline makes of an image is what the network takes."""

from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.structures import SegDataSample
from torch import Tensor

from .errors import DataError

SHAPES = 'ori_shape', 'img_shape'
NOT_FINITE = ('the image holds values that are not finite, such as NaN where there are no data: replace them, in the '
              'files or by a transform of your own behind the loading')
# By the number of channels that the network takes, what makes so many.
COLOR_TYPES = {1: ('grayscale', 'makes one of any image'), 3: ('color', 'makes three of any image'),
               4: ('unchanged', 'keeps the fourth of images that have it')}


class InputError(DataError):
    """An image is not what the network takes."""


class Passage:
    """An image on its way through the steps of a pipeline.

    Args:
        told: what is known of it before the first of them.
    """

    def __init__(self, told: dict):
        self.known = set(told)
        self.shape = np.shape(told.get('img', ()))
        self.channels = _channels_of(told)
        self.changed: tuple[str, int] | None = None

    def note(self, step: Any, made: Any) -> None:
        """Remembers what a step has made."""
        if not isinstance(made, dict):
            return
        self.known |= made.keys()
        channels = _channels_of(made)
        if channels is None or channels == self.channels:
            return
        if self.channels is None:
            self.shape = np.shape(made.get('img', ()))
        else:
            self.changed = type(step).__name__, self.channels
        self.channels = channels

    def check(self, made: Any, channels: int | None, loader: Any) -> None:
        """Checks what the last step has made. Shapes in it become (height, width), which is all that mmseg takes.

        Args:
            made: ``inputs`` and ``data_samples``, of one picture or of several.
            channels: of the images that the network takes, where that is known.
            loader: the first step.

        Raises:
            InputError: the image has other channels, or values that are not finite.
            DataError: no step has told the size of the image.
        """
        if not isinstance(made, dict):
            return
        for inputs in _all(made.get('inputs')):
            if not isinstance(inputs, Tensor):
                continue
            if channels is not None and inputs.ndim == 3 and len(inputs) != channels:
                raise InputError(self._of_channels(len(inputs), channels, loader))
            if inputs.is_floating_point() and not inputs.isfinite().all():
                raise InputError(NOT_FINITE)
        samples = [sample for sample in _all(made.get('data_samples')) if isinstance(sample, SegDataSample)]
        missing = [name for name in SHAPES
                   if name not in self.known and not all(name in sample for sample in samples)]
        if missing:
            raise DataError(f'no step of the pipeline sets {" and ".join(missing)}, the size of the image: the '
                            "transform that loads it must, by results['{}'] = results['img'].shape[:2]".format(
                                "'] = results['".join(missing)))
        for sample in samples:
            # Some steps tell the shape of the array, such as mmseg's RGB2Gray.
            shapes = {name: sample.get(name) for name in SHAPES}
            sample.set_metainfo({name: tuple(shape[:2]) for name, shape in shapes.items()
                                 if isinstance(shape, list | tuple) and len(shape) > 2})

    def _of_channels(self, found: int, taken: int, loader: Any) -> str:
        another = (f'a network for {_counted(found)}: model.backbone.in_channels={found}, and so many values in mean '
                   'and std')
        if self.changed:
            name, before = self.changed
            advice = (f'Leave {name} out, or put a transform in its place that keeps all channels'
                      if before == taken else f'{name} must make {taken} of it, or {another}')
            return (f'the image has {_counted(found)} behind {name}, which got {before}, and the network takes '
                    f'{taken}.\n  {advice}')
        said = f'the image has {_counted(found)} as it is loaded, and the network takes {taken}.\n  '
        if self.shape[:1] == (taken, ):
            return f'{said}Its bands lie first (its shape is {self.shape}), and must be the last axis'
        color_type, makes = COLOR_TYPES.get(taken, (None, None))
        if (color_type and isinstance(loader, LoadImageFromFile) and loader.imdecode_backend != 'tifffile'
                and loader.color_type != color_type):
            return f'{said}color_type={color_type!r} of LoadImageFromFile {makes}; {another}'
        return f'{said}All images need the channels that the network is made for, or {another}'


def _all(made: Any) -> list:
    """Of the pictures that test-time augmentation makes of one, or of the only one."""
    return list(made) if isinstance(made, list | tuple) else [made]


def _channels_of(made: dict) -> int | None:
    inputs = _all(made.get('inputs'))[:1]
    if inputs and isinstance(inputs[0], Tensor):
        return len(inputs[0]) if inputs[0].ndim == 3 else None
    image = made.get('img')
    if not isinstance(image, np.ndarray) or image.ndim not in (2, 3):
        return None
    return image.shape[2] if image.ndim == 3 else 1


def _counted(channels: int) -> str:
    return f'{channels} channel' if channels == 1 else f'{channels} channels'
