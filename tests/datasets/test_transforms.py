import cv2
import numpy as np
import pytest

from mmseg_attn.datasets import RandomGaussianBlur


def _image():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)


def test_blurs_the_image_alone():
    label = np.arange(600).reshape(20, 30)
    results = RandomGaussianBlur(prob=1, kernel_size=5)(dict(img=_image(), gt_seg_map=label.copy()))
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    assert np.abs(results['img'] - cv2.sepFilter2D(_image(), cv2.CV_64F, kernel, kernel)).max() <= 1
    assert np.array_equal(results['gt_seg_map'], label)


def test_as_often_as_asked():
    np.random.seed(0)
    transform = RandomGaussianBlur(prob=0.3)
    changed = [not np.array_equal(transform(dict(img=_image()))['img'], _image()) for _ in range(500)]
    assert 0.25 < np.mean(changed) < 0.35


@pytest.mark.parametrize('wrong', [dict(prob=1.5), dict(kernel_size=4), dict(kernel_size=0)])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match='must be'):
        RandomGaussianBlur(**wrong)
