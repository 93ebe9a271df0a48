"""The IoU of every class, where the log can be read by programs."""

from mmseg.evaluation import IoUMetric

from mmseg_attn.registry import METRICS

PREFIX = 'IoU.'


@METRICS.register_module()
class ClassIoUMetric(IoUMetric):
    """mmseg's IoUMetric, which prints the classes as a table only, with ``IoU.<class>`` among its metrics.

    In per cent, as mIoU. A class that is in no label and no prediction has no IoU and is left out, as of the mean.
    Takes the arguments of mmseg's.
    """

    def compute_metrics(self, results: list) -> dict[str, float]:
        metrics = dict(super().compute_metrics(results))
        if self.format_only:
            return metrics
        intersections, unions = (sum(areas).tolist() for areas in list(zip(*results, strict=True))[:2])
        for name, intersection, union in zip(self.dataset_meta['classes'], intersections, unions, strict=True):
            if union:
                metrics[f'{PREFIX}{name}'] = round(100 * intersection / union, 2)
        return metrics
