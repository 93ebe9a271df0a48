"""ResNets of ours, and blocks inside of any backbone."""

from .after_blocks import ResNet, ResNetV1c, ResNetV1d
from .ceil_pool import CeilPoolResNetV1c
from .plugins import PLUGINS
from .with_blocks import BackboneWithBlocks

__all__ = ['PLUGINS', 'BackboneWithBlocks', 'CeilPoolResNetV1c', 'ResNet', 'ResNetV1c', 'ResNetV1d']
