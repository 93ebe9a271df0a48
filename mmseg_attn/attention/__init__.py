"""Attention blocks: (B, C, H, W) -> (B, C, H, W), plain PyTorch."""

from .a2net import DoubleAttention
from .apcnet import AdaptiveContext
from .ccnet import CrissCrossAttention
from .danet import ChannelAttention, PositionAttention
from .dgmn import DynamicGraphMessagePassing
from .emanet import ExpectationMaximizationAttention
from .glore import GlobalReasoning
from .isanet import InterlacedSparseSelfAttention
from .lrnet import LocalRelation
from .non_local import NonLocal
from .ocnet import ASPObjectContext, BaseObjectContext, PyramidObjectContext
from .psanet import PointwiseSpatialAttention
from .sasa import StandAloneSelfAttention

__all__ = [
    'ASPObjectContext',
    'AdaptiveContext',
    'BaseObjectContext',
    'ChannelAttention',
    'CrissCrossAttention',
    'DoubleAttention',
    'DynamicGraphMessagePassing',
    'ExpectationMaximizationAttention',
    'GlobalReasoning',
    'InterlacedSparseSelfAttention',
    'LocalRelation',
    'NonLocal',
    'PointwiseSpatialAttention',
    'PositionAttention',
    'PyramidObjectContext',
    'StandAloneSelfAttention',
]
