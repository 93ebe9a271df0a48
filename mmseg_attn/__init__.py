"""Self-attention context heads for MMSegmentation."""

__version__ = '0.1.0'
