"""Decode heads, registered as `mmseg_attn.<Name>`."""

from .emanet import EMAHead
from .non_local import NLHead

__all__ = ['EMAHead', 'NLHead']
