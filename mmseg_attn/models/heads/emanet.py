"""EMANet's head."""

from torch import Tensor

from mmseg_attn.attention.emanet import ExpectationMaximizationAttention
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class EMAHead(AttentionHead):
    """Expectation-Maximization Attention Networks, https://arxiv.org/abs/1907.13426.

        conv3x3 -> EM attention -> conv3x3 -> classifier

    The paper's head has ``channels=256`` and no auxiliary head beside it.

    Args:
        ema_channels: channels of the attention.
        num_bases: number of bases K.
        num_stages: EM iterations.
        momentum: weight of the new bases in their running average.
        concat_input: concatenate the backbone's features with the output and fuse them by one more conv3x3, as mmseg's
            EMAHead does by default. The official network does not.
        renormalize_bases: bring the mean of the new bases back to unit length before it enters the running average, as
            mmseg's EMAHead does. The official code does not.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).
    """

    def __init__(self, *args, ema_channels: int = 512, num_bases: int = 64, num_stages: int = 3, momentum: float = 0.1,
                 concat_input: bool = False, renormalize_bases: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        self.concat_input = concat_input
        self.in_conv = self.conv(self.in_channels, ema_channels)
        self.attention = ExpectationMaximizationAttention(
            ema_channels, num_bases=num_bases, num_stages=num_stages, momentum=momentum,
            renormalize_bases=renormalize_bases, norm_layer=self.norm_layer)
        self.bottleneck = self.conv(ema_channels, self.channels)
        if concat_input:
            self.cat_conv = self.concat_conv(self.in_channels + self.channels, self.channels)

    def forward_feature(self, x: Tensor) -> Tensor:
        out = self.bottleneck(self.attention(self.in_conv(x)))
        return self.cat_conv(x, out) if self.concat_input else out
