"""Checkpoints of other code bases, converted into ours."""

from .conversion import Conversion, convert_checkpoint
from .reading import Checkpoint, read_checkpoint

__all__ = ['Checkpoint', 'Conversion', 'convert_checkpoint', 'read_checkpoint']
