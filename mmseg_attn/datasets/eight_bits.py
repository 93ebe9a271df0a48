"""Images that mmseg's PhotoMetricDistortion would make others of, without a word: it clips them to 0 to 255."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from mmcv.transforms import Compose as BaseCompose
from mmseg.datasets.transforms import PhotoMetricDistortion

# In the names of transforms that leave values as they are, but may show a dark corner only.
GEOMETRIC = 'Crop', 'Cutout', 'Flip', 'Pad', 'Resize', 'Rotate', 'Annotation', 'Pack'


class EightBitGuard:
    """Follows one image through the transforms of a pipeline.

    Args:
        transforms: of the pipeline.
    """

    def __init__(self, transforms: Iterable):
        self.is_needed = any(map(_distorts, transforms))
        self.largest = 0.0

    def problem_before(self, transform: object, data: Any) -> str | None:
        """What keeps a transform from taking the image for one of 8 bits, if it is PhotoMetricDistortion."""
        if not self.is_needed or not isinstance(data, dict) or not _distorts(transform):
            return None
        image = data.get('img')
        return _problem(image, self.largest) if isinstance(image, np.ndarray) and image.size else None

    def see(self, transform: object, data: Any) -> None:
        """Remembers how large the values of the whole image are, which a crop would not show."""
        image = data.get('img') if self.is_needed and isinstance(data, dict) else None
        if isinstance(image, np.ndarray) and image.dtype.kind == 'f' and image.size and not any(
                word in type(transform).__name__ for word in GEOMETRIC):
            self.largest = float(image.max())


def range_of(image: np.ndarray) -> str:
    """In what the values differ from those of an image of 8 bits: '', 'wide', 'negative' or 'fractions'."""
    if not image.size or image.dtype.kind not in 'iuf' or image.dtype == np.uint8:
        return ''
    lowest, highest = image.min(), image.max()
    if not highest <= 255:
        return 'wide'
    if not lowest >= 0:
        return 'negative'
    return 'fractions' if highest <= 1 and _has_fractions(image) else ''


def _distorts(transform: object) -> bool:
    """Whether a transform is PhotoMetricDistortion, or may apply it, as RandomApply does."""
    if isinstance(transform, PhotoMetricDistortion):
        return True
    inner = transform if isinstance(transform, list | tuple) else getattr(transform, 'transforms', None)
    return any(map(_distorts, inner)) if isinstance(inner, list | tuple | BaseCompose) else False


def _problem(image: np.ndarray, largest: float) -> str | None:
    advice = 'take PhotoMetricDistortion out of the pipeline'
    if image.ndim != 3 or image.shape[2] != 3:
        channels = image.shape[2] if image.ndim == 3 else 1
        return (f'PhotoMetricDistortion takes images of 3 channels, and this one has {channels} as it is loaded: '
                f'{advice}')
    kind = range_of(image)
    if not kind or (kind == 'fractions' and largest > 1):
        return None
    value = dict(wide=image.max(), negative=image.min(), fractions=image.max())[kind]
    held = f'fractions, at most {value:.4g}' if kind == 'fractions' else f'{value:.6g}'
    return (f'PhotoMetricDistortion makes whole numbers from 0 to 255 of any image, and this one holds {held}: '
            f'{advice}')


def _has_fractions(image: np.ndarray) -> bool:
    return image.dtype.kind == 'f' and bool((image != np.round(image)).any())
