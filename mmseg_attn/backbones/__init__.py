"""The backbones of official codes that mmseg's settings do not reach."""

from .resnet import CeilPoolResNetV1c

__all__ = ['CeilPoolResNetV1c']
