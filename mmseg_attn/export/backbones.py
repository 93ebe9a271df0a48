"""Backbones that PyTorch cannot trace as they are."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from mmcv.cnn.bricks import Conv2dAdaptivePadding
from mmseg.models.backbones.swin import ShiftWindowMSA
from torch import Tensor, nn

# Modules whose padding follows from the size by a rule that a graph cannot hold.
OF_ONE_SIZE = {ShiftWindowMSA: "mmseg's Swin pads to whole windows",
               Conv2dAdaptivePadding: "mmseg's MobileNetV3 pads to whole strides"}


def why_fixed(network: nn.Module) -> str | None:
    """Why height and width cannot be free, which PyTorch needs minutes to find out; None where they may be."""
    found = (reason for module in network.modules() for kind, reason in OF_ONE_SIZE.items() if isinstance(module, kind))
    reason = next(found, None)
    return reason and f'{reason}, in another way for every size'


@contextmanager
def swin_of_any_batch() -> Iterator[None]:
    """Inside, Swin does not divide the windows by those of an image, to an integer that a graph takes for fixed."""
    with patch.object(ShiftWindowMSA, 'window_reverse', _window_reverse):
        yield


def _window_reverse(self: ShiftWindowMSA, windows: Tensor, height: int, width: int) -> Tensor:
    """Windows (B x rows x columns, side, side, C) -> map (B, height, width, C)."""
    side = self.window_size
    grid = windows.view(-1, height // side, width // side, side, side, windows.shape[-1])
    return grid.transpose(2, 3).reshape(-1, height, width, windows.shape[-1])
