"""All that is registered for OpenMMLab's MODELS, as `mmseg_attn.<Name>`."""

from . import heads
from .backbones import BackboneWithBlocks, CeilPoolResNetV1c, ResNet, ResNetV1c, ResNetV1d
from .cross_entropy import PixelCrossEntropyLoss
from .data_preprocessor import AlignedSegDataPreProcessor, SegDataPreProcessor
from .encoder_decoder import EncoderDecoder
from .heads import *  # noqa: F403
from .upsample import CARAFE, CARAFEUPerHead

__all__ = [
    'CARAFE', 'AlignedSegDataPreProcessor', 'BackboneWithBlocks', 'CARAFEUPerHead', 'CeilPoolResNetV1c',
    'EncoderDecoder', 'PixelCrossEntropyLoss', 'ResNet', 'ResNetV1c', 'ResNetV1d', 'SegDataPreProcessor',
    *heads.__all__,
]
