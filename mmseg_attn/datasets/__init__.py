"""Data sets and augmentations that mmseg does not have, registered as `mmseg_attn.<Name>`."""

from .camvid import CamVidDataset
from .context_shapes import ContextShapesDataset
from .transforms import RandomGaussianBlur

__all__ = ['CamVidDataset', 'ContextShapesDataset', 'RandomGaussianBlur']
