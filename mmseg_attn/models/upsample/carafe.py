"""CARAFE: Content-Aware ReAssembly of FEatures (Wang et al., ICCV 2019, https://arxiv.org/abs/1905.02188).

Official code: https://github.com/open-mmlab/mmcv, mmcv/ops/carafe.py, ``CARAFEPack``.

    masks = softmax over the k x k taps of pixel_shuffle(content_encoder(channel_compressor(x)))
    y     = carafe(x, masks)

Differs from the official code: the softmax is in float32 for half inputs; wrong arguments are errors before the
forward. Parameters have the same names.
"""

import torch
import torch.nn.functional as F
from mmengine.model import normal_init, xavier_init
from torch import Tensor, nn

from mmseg_attn.ops.carafe import carafe, check_kernel
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.registry import MODELS


@MODELS.register_module()
class CARAFE(nn.Module):
    """Upsamples with kernels that a small network predicts from the features themselves.

    It starts as the mean of ``up_kernel`` x ``up_kernel`` pixels around the nearest one, darker at the border.

    Args:
        channels: channels of input and output.
        scale_factor: s, an integer.
        up_kernel: k, width of the predicted kernels, odd.
        up_group: groups of channels, each with kernels of its own.
        encoder_kernel: width of the convolution that predicts the kernels.
        encoder_dilation: its dilation.
        compressed_channels: its input channels.

    Input is (B, channels, H, W), output (B, channels, s H, s W).

    Raises:
        ValueError: an even kernel, groups that do not divide ``channels``, or ``scale_factor`` not a whole number.
    """

    def __init__(self, channels: int, scale_factor: int, up_kernel: int = 5, up_group: int = 1,
                 encoder_kernel: int = 3, encoder_dilation: int = 1, compressed_channels: int = 64):
        super().__init__()
        check_kernel(channels, up_kernel, up_group, scale_factor)
        check_positive(encoder_kernel=encoder_kernel, encoder_dilation=encoder_dilation,
                       compressed_channels=compressed_channels)
        padding, odd = divmod((encoder_kernel - 1) * encoder_dilation, 2)
        if odd:
            raise ValueError(f'encoder_kernel must be odd to keep the size, got {encoder_kernel}')
        self.scale_factor = scale_factor
        self.up_kernel = up_kernel
        self.up_group = up_group
        self.channel_compressor = nn.Conv2d(channels, compressed_channels, 1)
        self.content_encoder = nn.Conv2d(
            compressed_channels, up_group * up_kernel**2 * scale_factor**2, encoder_kernel, padding=padding,
            dilation=encoder_dilation)
        self.init_weights()

    def init_weights(self) -> None:
        # mmcv draws for the second convolution twice; so does this, to start from the same numbers.
        for conv in self.channel_compressor, self.content_encoder:
            xavier_init(conv, distribution='uniform')
        normal_init(self.content_encoder, std=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return carafe(x, self.masks(x), self.up_kernel, self.up_group, self.scale_factor)

    def masks(self, x: Tensor) -> Tensor:
        """The kernels for ``x``, (B, up_group * up_kernel^2, s H, s W), in float32 or better."""
        logits = F.pixel_shuffle(self.content_encoder(self.channel_compressor(x)), self.scale_factor)
        logits = logits.unflatten(1, (self.up_group, self.up_kernel**2))
        return logits.softmax(2, dtype=torch.promote_types(logits.dtype, torch.float32)).flatten(1, 2)
