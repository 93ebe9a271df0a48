"""Padding of test images to the sizes that stride-8 networks with aligned corners expect."""

from mmseg.models import SegDataPreProcessor

from mmseg_attn.registry import MODELS


@MODELS.register_module()
class AlignedSegDataPreProcessor(SegDataPreProcessor):
    """mmseg's SegDataPreProcessor that also pads test images, right and below, to ``stride * n + 1`` pixels a side.

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
