"""Data sets that mmseg does not have, registered as `mmseg_attn.<Name>`."""

from .camvid import CamVidDataset
from .context_shapes import ContextShapesDataset

__all__ = ['CamVidDataset', 'ContextShapesDataset']
