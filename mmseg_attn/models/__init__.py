"""All that is registered for OpenMMLab's MODELS, as `mmseg_attn.<Name>`."""

from . import backbones, heads
from .backbones import *  # noqa: F403
from .cross_entropy import PixelCrossEntropyLoss
from .data_preprocessor import AlignedSegDataPreProcessor, SegDataPreProcessor
from .encoder_decoder import EncoderDecoder
from .heads import *  # noqa: F403
from .multi_scale import MultiScaleEncoderDecoder
from .upsample import CARAFE, CARAFEUPerHead

__all__ = [
    'CARAFE', 'AlignedSegDataPreProcessor', 'CARAFEUPerHead', 'EncoderDecoder', 'MultiScaleEncoderDecoder',
    'PixelCrossEntropyLoss', 'SegDataPreProcessor', *backbones.__all__, *heads.__all__,
]
