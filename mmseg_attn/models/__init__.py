"""All that is registered for OpenMMLab's MODELS, as `mmseg_attn.<Name>`."""

from . import heads
from .cross_entropy import PixelCrossEntropyLoss
from .data_preprocessor import AlignedSegDataPreProcessor, SegDataPreProcessor
from .encoder_decoder import EncoderDecoder
from .heads import *  # noqa: F403
from .resnet import CeilPoolResNetV1c
from .upsample import CARAFE, CARAFEUPerHead
from .window_convs import LocalRelationConv, StandAloneSelfAttentionConv

__all__ = [
    'CARAFE', 'AlignedSegDataPreProcessor', 'CARAFEUPerHead', 'CeilPoolResNetV1c', 'EncoderDecoder',
    'LocalRelationConv', 'PixelCrossEntropyLoss', 'SegDataPreProcessor',
    'StandAloneSelfAttentionConv', *heads.__all__,
]
