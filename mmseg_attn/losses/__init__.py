"""Losses of the official codes."""

from .cross_entropy import PixelCrossEntropyLoss

__all__ = ['PixelCrossEntropyLoss']
