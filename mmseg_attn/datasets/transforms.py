"""Augmentations of official codes that mmseg lacks."""

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness

from mmseg_attn.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomGaussianBlur(BaseTransform):
    """Blurs the image now and then, as hszhao/semseg does.

    Args:
        prob: how often, 0 to 1.
        kernel_size: side of the kernel in pixels, odd; its standard deviation follows from it as in OpenCV.

    Raises:
        ValueError: ``prob`` is not between 0 and 1, or ``kernel_size`` not odd.
    """

    def __init__(self, prob: float = 0.5, kernel_size: int = 5):
        if not 0 <= prob <= 1:
            raise ValueError(f'prob must be between 0 and 1, got {prob}')
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f'kernel_size must be odd, got {kernel_size}')
        self.prob = prob
        self.kernel_size = kernel_size

    @cache_randomness
    def _is_drawn(self) -> bool:
        return np.random.rand() < self.prob

    def transform(self, results: dict) -> dict:
        if self._is_drawn():
            results['img'] = cv2.GaussianBlur(results['img'], (self.kernel_size, self.kernel_size), 0)
        return results
