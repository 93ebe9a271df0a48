"""CCNet's head."""

from mmseg_attn.attention.ccnet import CrissCrossAttention
from mmseg_attn.registry import MODELS

from .base import LEAKY_RELU, AttentionHead


@MODELS.register_module()
class CCHead(AttentionHead):
    """CCNet: Criss-Cross Attention for Semantic Segmentation, https://arxiv.org/abs/1811.11721.

        conv3x3 -> criss-cross attention, R times -> conv3x3 -> concatenate the backbone's features, conv3x3
        -> classifier

    Args:
        recurrence: number of passes R of the attention.
        inner_channels: channels between the first convolution and the concatenation; ``channels`` when not given. The
            official code takes a quarter of ``in_channels``, which for a ResNet-101 are the same 512.
        concat_input: the concatenation and the convolution after it.
        act_cfg: the activation, of the official code by default. mmseg's CCHead has ``dict(type='ReLU')``.
        kwargs: arguments of AttentionHead and BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``,
            ``norm_cfg``, ...).
    """

    takes_conv_cfg = True  # as in mmseg, beside the attention

    def __init__(self, *args, recurrence: int = 2, inner_channels: int | None = None, concat_input: bool = True,
                 act_cfg: dict | None = LEAKY_RELU, **kwargs):
        super().__init__(*args, act_cfg=act_cfg, **kwargs)
        inner_channels = inner_channels or self.channels
        self.concat_input = concat_input
        self.in_conv = self.conv(self.in_channels, inner_channels)
        self.attention = CrissCrossAttention(inner_channels, recurrence=recurrence)
        self.out_conv = self.conv(inner_channels, inner_channels if concat_input else self.channels)
        if concat_input:
            self.cat_conv = self.concat_conv(self.in_channels + inner_channels, self.channels)
