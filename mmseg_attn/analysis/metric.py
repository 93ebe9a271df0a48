"""The metric behind ``test --analyse``: it counts images as they come, and writes the report at the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank, get_world_size, is_main_process
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmseg_attn.common.errors import UserError
from mmseg_attn.registry import METRICS

from .counts import Counts, count, zeros
from .summary import accuracy, boundary_iou, calibration_error, iou, mean

WORST = 20


@dataclass
class ImageResult:
    """What became of one image.

    Attributes:
        path: of the image.
        miou: mean over the classes in its labels or its prediction; NaN where all its pixels are ignored.
        accuracy: share of its pixels that are right.
    """

    path: str
    miou: float
    accuracy: float


@dataclass
class Maps:
    """Of one image: its result, labels (H, W) and prediction (H, W)."""

    result: ImageResult
    label: np.ndarray
    prediction: np.ndarray


@METRICS.register_module()
class AnalysisMetric(BaseMetric):
    """Confusions, boundaries, calibration, components and the worst images of a test, as a report in a folder.

    Its metrics, in per cent, are ``boundary_mIoU``, the mean Boundary IoU of the classes, and ``ECE``, the expected
    calibration error, where predictions have logits. Of the maps, only those of the worst images are kept.

    Args:
        out_dir: folder of the report.
        ignore_index: label of pixels that do not count.
        are_probabilities: ``seg_logits`` of several classes are probabilities, as those of test-time augmentation are.
        worst: how many images are shown.
        kwargs: arguments of BaseMetric.
    """

    def __init__(self, out_dir: str, ignore_index: int = 255, are_probabilities: bool = False, worst: int = WORST,
                 **kwargs: Any):
        super().__init__(**kwargs)
        self.out_dir, self.worst = Path(out_dir), worst
        self.ignore_index, self.are_probabilities = ignore_index, are_probabilities
        self._begin()

    def _begin(self) -> None:
        self.total: Counts | None = None
        self.images: list[ImageResult] = []
        self.worst_maps: list[Maps] = []
        self.seen = 0
        # The sampler gives the first images once more to processes that would have one less: the last image of a
        # process is not counted before it is known whether it is such a one.
        self.last: tuple[Counts, Maps] | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        num_classes = len(self.dataset_meta['classes'])
        for sample in data_samples:
            if 'gt_sem_seg' not in sample:
                raise UserError(f'--analyse needs labels, and {sample.get("img_path")} has none')
            label, prediction = (sample[name]['data'].squeeze(0).cpu().numpy().astype(np.int64)
                                 for name in ('gt_sem_seg', 'pred_sem_seg'))
            logits = sample.get('seg_logits')
            confidence = None if logits is None else confidence_of(logits['data'], self.are_probabilities)
            counts = count(label, prediction, confidence, num_classes, self.ignore_index)
            small = np.uint8 if num_classes < 256 and self.ignore_index < 256 else np.int32
            result = ImageResult(sample.get('img_path', ''), mean(iou(counts.confusion)), accuracy(counts.confusion))
            self._take_last()
            self.last = counts, Maps(result, label.astype(small), prediction.astype(small))
            self.seen += 1

    def _take_last(self) -> None:
        if self.last is None:
            return
        counts, maps = self.last
        if self.total is None:
            self.total = zeros(len(counts.confusion))
        self.total += counts
        self.images.append(maps.result)
        self.worst_maps = self._worst([*self.worst_maps, maps])
        self.last = None

    def _worst(self, maps: list[Maps]) -> list[Maps]:
        return sorted(maps, key=lambda of_image: by_miou(of_image.result))[:self.worst]

    def evaluate(self, size: int) -> dict[str, float]:
        """Of all processes together; the report is written by the first. ``size`` is the length of the data set."""
        if (self.seen - 1) * get_world_size() + get_rank() < size:
            self._take_last()
        parts = all_gather_object((self.total, self.images, self.worst_maps))
        metrics = [self._finish(parts) if is_main_process() else None]
        broadcast_object_list(metrics)
        self._begin()
        assert metrics[0] is not None
        return metrics[0]

    def _finish(self, parts: list[tuple[Counts | None, list[ImageResult], list[Maps]]]) -> dict[str, float]:
        from .report import write
        total = zeros(len(self.dataset_meta['classes']))
        images: list[ImageResult] = []
        maps: list[Maps] = []
        for counts, of_process, worst_maps in parts:
            if counts is not None:
                total += counts
            images += of_process
            maps += worst_maps
        write(self.out_dir, total, sorted(images, key=by_miou), self._worst(maps), dict(self.dataset_meta),
              self.ignore_index)
        metrics = {'boundary_mIoU': round(100 * mean(boundary_iou(total)), 2)}
        if total.calibration.any():
            metrics['ECE'] = round(100 * calibration_error(total.calibration), 2)
        return metrics

    def compute_metrics(self, results: list) -> dict:
        raise NotImplementedError('evaluate() computes them')


def by_miou(image: ImageResult) -> tuple[bool, float, str]:
    """Key of an order with the worst first; images of ignored pixels alone come last."""
    return np.isnan(image.miou), image.miou, image.path


def confidence_of(logits: Tensor, are_probabilities: bool) -> np.ndarray:
    """Logits (C, H, W), or one probability (1, H, W) of the second of two classes -> that of the predicted class."""
    if len(logits) == 1:
        # Its threshold need not be 1/2; then the predicted class may be the less probable one.
        probability = logits[0].float()
        return torch.maximum(probability, 1 - probability).cpu().numpy()
    probabilities = logits.float() if are_probabilities else logits.float().softmax(0)
    return probabilities.amax(0).cpu().numpy()
