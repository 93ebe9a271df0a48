"""Segmentors, registered as `mmseg_attn.<Name>`."""

from .encoder_decoder import EncoderDecoder

__all__ = ['EncoderDecoder']
