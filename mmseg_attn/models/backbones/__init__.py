"""ResNets of ours, and blocks inside of any backbone."""

from . import plugins as plugins  # registers the blocks
from .after_blocks import ResNet, ResNetV1c, ResNetV1d
from .ceil_pool import CeilPoolResNetV1c
from .window_convs import LocalRelationConv, StandAloneSelfAttentionConv
from .with_blocks import BackboneWithBlocks

__all__ = [
    'BackboneWithBlocks', 'CeilPoolResNetV1c', 'LocalRelationConv', 'ResNet', 'ResNetV1c', 'ResNetV1d',
    'StandAloneSelfAttentionConv',
]
