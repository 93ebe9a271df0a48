"""Attention blocks: (B, C, H, W) -> (B, C, H, W), plain PyTorch."""

from .a2net import DoubleAttention
from .apcnet import AdaptiveContext
from .ccnet import CrissCrossAttention
from .danet import ChannelAttention, PositionAttention
from .dgmn import DynamicGraphMessagePassing
from .emanet import ExpectationMaximizationAttention
from .gcu import BeyondGrids, GraphConvolutionUnit
from .glore import GlobalReasoning
from .isanet import InterlacedSparseSelfAttention
from .non_local import NonLocal
from .ocnet import ASPObjectContext, BaseObjectContext, PyramidObjectContext
from .psanet import PointwiseSpatialAttention
from .sgr import SymbolicGraphReasoning

__all__ = [
    'ASPObjectContext',
    'AdaptiveContext',
    'BaseObjectContext',
    'BeyondGrids',
    'ChannelAttention',
    'CrissCrossAttention',
    'DoubleAttention',
    'DynamicGraphMessagePassing',
    'ExpectationMaximizationAttention',
    'GlobalReasoning',
    'GraphConvolutionUnit',
    'InterlacedSparseSelfAttention',
    'NonLocal',
    'PointwiseSpatialAttention',
    'PositionAttention',
    'PyramidObjectContext',
    'SymbolicGraphReasoning',
]
