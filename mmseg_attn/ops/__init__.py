"""Operations on tensors: no parameters, no OpenMMLab."""

from .carafe import carafe
from .pixel_attention import dot_product_attention, softmax_attention

__all__ = ['carafe', 'dot_product_attention', 'softmax_attention']
