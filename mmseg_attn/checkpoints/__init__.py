"""Reads checkpoints, loads them into models, and converts those of other code bases."""

from .conversion import Conversion, convert_checkpoint
from .loading import load_model
from .reading import Checkpoint, read_checkpoint
from .strict_loading import use_strict_loading

__all__ = ['Checkpoint', 'Conversion', 'convert_checkpoint', 'load_model', 'read_checkpoint', 'use_strict_loading']
