"""The IoU of every class, where the log can be read by programs."""

import torch
from mmseg.evaluation import IoUMetric
from torch import Tensor

from mmseg_attn.registry import METRICS

PREFIX = 'IoU.'


@METRICS.register_module()
class ClassIoUMetric(IoUMetric):
    """mmseg's IoUMetric, which prints the classes as a table only, with ``IoU.<class>`` among its metrics.

    In per cent, as mIoU. A class that is in no label and no prediction has no IoU and is left out, as of the mean.
    Takes the arguments of mmseg's.

    Pixels are counted in integers. mmseg's counts them by ``torch.histc``, whose float32 ends at 16,777,216, and which
    PyTorch's deterministic mode refuses on a GPU.
    """

    @staticmethod
    def intersect_and_union(pred_label: Tensor, label: Tensor, num_classes: int, ignore_index: int
                            ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pixels of each class in both maps, in either, in the prediction and in the labels."""
        counts = label != ignore_index
        pred_label, label = pred_label[counts], label[counts]
        both, predicted, labelled = (_count(values, num_classes) for values in (
            label[pred_label == label], pred_label, label))
        return both, predicted + labelled - both, predicted, labelled

    def compute_metrics(self, results: list) -> dict[str, float]:
        metrics = dict(super().compute_metrics(results))
        if self.format_only:
            return metrics
        intersections, unions = (sum(areas).tolist() for areas in list(zip(*results, strict=True))[:2])
        for name, intersection, union in zip(self.dataset_meta['classes'], intersections, unions, strict=True):
            if union:
                metrics[f'{PREFIX}{name}'] = round(100 * intersection / union, 2)
        return metrics


def _count(values: Tensor, num_classes: int) -> Tensor:
    """Of each class; of values that are none, nothing."""
    values = values[(values >= 0) & (values < num_classes)].long()
    return torch.bincount(values, minlength=num_classes).cpu()
