"""All that is registered for OpenMMLab's MODELS, as `mmseg_attn.<Name>`."""

from . import heads
from .cross_entropy import PixelCrossEntropyLoss
from .data_preprocessor import AlignedSegDataPreProcessor, SegDataPreProcessor
from .encoder_decoder import EncoderDecoder
from .heads import *  # noqa: F403
from .multi_scale import MultiScaleEncoderDecoder
from .resnet import CeilPoolResNetV1c
from .upsample import CARAFE, CARAFEUPerHead

__all__ = [
    'CARAFE', 'AlignedSegDataPreProcessor', 'CARAFEUPerHead', 'CeilPoolResNetV1c', 'EncoderDecoder',
    'MultiScaleEncoderDecoder', 'PixelCrossEntropyLoss', 'SegDataPreProcessor', *heads.__all__,
]
