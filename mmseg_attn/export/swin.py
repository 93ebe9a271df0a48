"""mmseg's Swin, whose graph takes any number of images, of one size."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from mmseg.models.backbones.swin import ShiftWindowMSA
from torch import Tensor, nn


def why_fixed(network: nn.Module) -> str | None:
    """Why height and width cannot be free, which PyTorch finds out in minutes; None where they may be."""
    if any(isinstance(module, ShiftWindowMSA) for module in network.modules()):
        return "mmseg's Swin pads to whole windows, in another way for every size"
    return None


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
