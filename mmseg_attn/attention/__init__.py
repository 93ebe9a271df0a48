"""Attention blocks: (B, C, H, W) -> (B, C, H, W), plain PyTorch."""

from .a2net import DoubleAttention
from .apcnet import AdaptiveContext
from .bam import BAM
from .cbam import CBAM
from .ccnet import CrissCrossAttention
from .cgnl import CompactGeneralizedNonLocal
from .danet import ChannelAttention, PositionAttention
from .dgmn import DynamicGraphMessagePassing
from .emanet import ExpectationMaximizationAttention
from .gcu import BeyondGrids, GraphConvolutionUnit
from .glore import GlobalReasoning
from .isanet import InterlacedSparseSelfAttention
from .latentgnn import LatentGNN
from .lrnet import LocalRelation
from .non_local import NonLocal
from .ocnet import ASPObjectContext, BaseObjectContext, PyramidObjectContext
from .psanet import PointwiseSpatialAttention
from .sasa import StandAloneSelfAttention
from .se import SE
from .sgr import SymbolicGraphReasoning

__all__ = [
    'BAM',
    'CBAM',
    'SE',
    'ASPObjectContext',
    'AdaptiveContext',
    'BaseObjectContext',
    'BeyondGrids',
    'ChannelAttention',
    'CompactGeneralizedNonLocal',
    'CrissCrossAttention',
    'DoubleAttention',
    'DynamicGraphMessagePassing',
    'ExpectationMaximizationAttention',
    'GlobalReasoning',
    'GraphConvolutionUnit',
    'InterlacedSparseSelfAttention',
    'LatentGNN',
    'LocalRelation',
    'NonLocal',
    'PointwiseSpatialAttention',
    'PositionAttention',
    'PyramidObjectContext',
    'StandAloneSelfAttention',
    'SymbolicGraphReasoning',
]
