"""Upsamplers, and a head made of them, registered as `mmseg_attn.<Name>`."""

from .carafe import CARAFE
from .uper_head import CARAFEUPerHead

__all__ = ['CARAFE', 'CARAFEUPerHead']
