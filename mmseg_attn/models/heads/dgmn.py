"""The head of Dynamic Graph Message Passing."""

from mmseg_attn.attention.dgmn import DynamicGraphMessagePassing
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class DGMNHead(AttentionHead):
    """Dynamic Graph Message Passing Networks, https://arxiv.org/abs/1908.06955, as a segmentation head.

        conv3x3 -> message passing -> conv3x3 -> concatenate the backbone's features, conv3x3 -> classifier

    The authors released no segmentation head; this is the structure of NLHead.

    Args:
        rates: dilations of the sampled 3 x 3 neighbourhoods.
        groups: groups of channels with filters of their own.
        mode: 'deformatt', 'deform' or 'none'.
        rigorous: the form that the authors call rigorous; False for their faster one.
        reduction: pass messages in ``channels / reduction`` channels.
        released_fourth_rate: the bug of the released code, for its weights.
        concat_input: the concatenation and the convolution after it.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...). The
            block's norms (it has some with ``reduction`` or in the faster form) are those of ``norm_cfg``; the released
            code has ``dict(type='GN', num_groups=32)`` there.
    """

    def __init__(self, *args, rates: tuple[int, ...] = (1, 4, 8, 12), groups: int = 4, mode: str = 'deformatt',
                 rigorous: bool = True, reduction: int = 1, released_fourth_rate: bool = False,
                 concat_input: bool = True, **kwargs):
        super().__init__(*args, **kwargs)
        self.concat_input = concat_input
        self.in_conv = self.conv(self.in_channels, self.channels)
        self.attention = DynamicGraphMessagePassing(
            self.channels, rates=rates, groups=groups, mode=mode, rigorous=rigorous, reduction=reduction,
            released_fourth_rate=released_fourth_rate, norm_layer=self.norm_layer, act_layer=self.act_layer)
        self.out_conv = self.conv(self.channels, self.channels)
        if concat_input:
            self.cat_conv = self.concat_conv(self.in_channels + self.channels, self.channels)
