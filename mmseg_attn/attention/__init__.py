"""Attention blocks: (B, C, H, W) -> (B, C, H, W), plain PyTorch."""

from .a2net import DoubleAttention
from .apcnet import AdaptiveContext
from .bam import BAM
from .cbam import CBAM
from .ccnet import CrissCrossAttention
from .danet import ChannelAttention, PositionAttention
from .dgmn import DynamicGraphMessagePassing
from .emanet import ExpectationMaximizationAttention
from .glore import GlobalReasoning
from .isanet import InterlacedSparseSelfAttention
from .non_local import NonLocal
from .ocnet import ASPObjectContext, BaseObjectContext, PyramidObjectContext
from .psanet import PointwiseSpatialAttention
from .se import SE

__all__ = [
    'BAM',
    'CBAM',
    'SE',
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
    'NonLocal',
    'PointwiseSpatialAttention',
    'PositionAttention',
    'PyramidObjectContext',
]
