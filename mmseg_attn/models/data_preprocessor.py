"""From what a data loader gives to what a network takes."""

from collections.abc import Sequence

import torch
from mmseg.models import SegDataPreProcessor as MMSegDataPreProcessor

from mmseg_attn.registry import MODELS


@MODELS.register_module()
class SegDataPreProcessor(MMSegDataPreProcessor):
    """mmseg's SegDataPreProcessor for images of any number of channels, where mmseg's takes one or three.

    Args:
        mean: of each channel, or one for all. No normalization by default.
        std: as ``mean``.
        kwargs: arguments of mmseg's SegDataPreProcessor. ``bgr_to_rgb`` and ``rgb_to_bgr`` concern images of three
            channels alone.

    Raises:
        ValueError: ``mean`` and ``std`` are of different lengths, or one is given alone.
    """

    def __init__(self, mean: Sequence[float] | None = None, std: Sequence[float] | None = None, **kwargs):
        super().__init__(**kwargs)
        if len(mean or ()) != len(std or ()):
            raise ValueError(f'mean and std of the data preprocessor must have a value for each channel; got {mean} '
                             f'and {std}')
        if mean is not None:
            self._enable_normalize = True
            self.register_buffer('mean', torch.tensor(mean, dtype=torch.float).view(-1, 1, 1), False)
            self.register_buffer('std', torch.tensor(std, dtype=torch.float).view(-1, 1, 1), False)


@MODELS.register_module()
class AlignedSegDataPreProcessor(SegDataPreProcessor):
    """A SegDataPreProcessor that also pads test images, right and below, to ``stride * n + 1`` pixels a side.

    At such sizes the centres of the first and last feature cell fall on the first and last pixel, which is what
    ``align_corners=True`` assumes. EMANet evaluates this way.

    Args:
        test_stride: output stride of the network.
        kwargs: arguments of SegDataPreProcessor.
    """

    def __init__(self, *args, test_stride: int = 8, **kwargs):
        super().__init__(*args, **kwargs)
        self.test_stride = test_stride

    def forward(self, data: dict, training: bool = False) -> dict:
        """Images of one size and their samples -> normalised, padded batch; see SegDataPreProcessor."""
        # Without samples there is nowhere to note the padding, which predictions are cropped by.
        self.test_cfg = None
        if not training and data.get('data_samples') is not None:
            height, width = data['inputs'][0].shape[-2:]
            self.test_cfg = dict(size=(self._aligned(height), self._aligned(width)))
        return super().forward(data, training)

    def _aligned(self, side: int) -> int:
        return -(-(side - 1) // self.test_stride) * self.test_stride + 1
