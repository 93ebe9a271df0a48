"""Attention blocks: (B, C, H, W) -> (B, C, H, W), plain PyTorch."""

from .emanet import ExpectationMaximizationAttention
from .non_local import NonLocal

__all__ = ['ExpectationMaximizationAttention', 'NonLocal']
