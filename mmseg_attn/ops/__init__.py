"""Operations on tensors: no parameters, no OpenMMLab."""

from .pixel_attention import dot_product_attention, softmax_attention

__all__ = ['dot_product_attention', 'softmax_attention']
