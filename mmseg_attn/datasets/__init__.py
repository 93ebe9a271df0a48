"""Data sets, augmentations and metrics that mmseg does not have, registered as `mmseg_attn.<Name>`."""

from .camvid import CamVidDataset
from .class_iou import ClassIoUMetric
from .context_shapes import ContextShapesDataset
from .transforms import RandomGaussianBlur

__all__ = ['CamVidDataset', 'ClassIoUMetric', 'ContextShapesDataset', 'RandomGaussianBlur']
