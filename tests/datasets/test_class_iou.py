"""ClassIoUMetric beside an IoU counted by hand."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.evaluation import IoUMetric
from mmseg.structures import SegDataSample

from mmseg_attn.datasets import ClassIoUMetric
from mmseg_attn.registry import METRICS

CLASSES = ('sky', 'road', 'car', 'moose')


def _sample(prediction, label):
    sample = SegDataSample()
    sample.pred_sem_seg = PixelData(data=torch.tensor(prediction)[None])
    sample.gt_sem_seg = PixelData(data=torch.tensor(label)[None])
    return sample.to_dict()


def test_every_class_that_occurs():
    rng = np.random.default_rng(0)
    pairs = [(rng.integers(0, 3, (5, 7)), rng.choice([0, 1, 2, 255], (5, 7))) for _ in range(3)]
    metric = METRICS.build(dict(type='mmseg_attn.ClassIoUMetric', ignore_index=255))
    assert isinstance(metric, ClassIoUMetric)
    metric.dataset_meta = dict(classes=CLASSES)
    for prediction, label in pairs:
        metric.process({}, [_sample(prediction, label)])
    found = metric.evaluate(3)
    prediction, label = (np.concatenate([pair[i].flatten() for pair in pairs]) for i in (0, 1))
    seen = label != 255
    both = [np.sum(seen & (prediction == c) & (label == c)) for c in range(3)]
    either = [np.sum(seen & ((prediction == c) | (label == c))) for c in range(3)]
    expected = [100 * a / b for a, b in zip(both, either, strict=True)]
    assert [found[f'IoU.{name}'] for name in CLASSES[:3]] == pytest.approx(expected, abs=0.006)
    assert 'IoU.moose' not in found
    assert found['mIoU'] == pytest.approx(np.mean(expected), abs=0.01)


@pytest.mark.parametrize('dtype', [torch.int64, torch.float32, torch.uint8])
def test_counts_as_mmseg_does(dtype):
    label = torch.randint(0, 4, (9, 11)).where(torch.rand(9, 11) < 0.8, 255)
    prediction = torch.randint(0, 6, (9, 11)).to(dtype)  # 5 is no class: it counts as nothing
    ours, theirs = (metric.intersect_and_union(prediction, label.to(dtype), 5, 255)
                    for metric in (ClassIoUMetric, IoUMetric))
    for count, expected in zip(ours, theirs, strict=True):
        assert count.dtype == torch.int64
        assert count.tolist() == expected.tolist()


def test_counts_more_pixels_than_float32_can():
    label = torch.zeros(1, 2**24 + 1, dtype=torch.uint8)
    assert ClassIoUMetric.intersect_and_union(label, label, 2, 255)[0].tolist() == [2**24 + 1, 0]
