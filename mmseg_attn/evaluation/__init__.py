"""Metrics, registered as `mmseg_attn.<Name>`."""

from .class_iou import ClassIoUMetric

__all__ = ['ClassIoUMetric']
