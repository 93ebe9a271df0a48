"""The head of local relation."""

from mmseg_attn.attention.lrnet import LocalRelation
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class LRHead(AttentionHead):
    """Local Relation Networks for Image Recognition, https://arxiv.org/abs/1904.11491, as a head.

        conv3x3 -> local relation -> conv3x3 -> classifier

    The paper has the layer in the backbone, where ``mmseg_attn.LocalRelation`` puts it, and no segmentation.

    Args:
        window: width of the window, odd.
        channels_per_group: channels that share their weights.
        dilation: pixels from one tap of the window to the next.
        similarity: of a query and a key; the block has a list.
        border: of positions beyond the border, a logit, 'exclude' or 'zero'.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).
    """

    def __init__(self, *args, window: int = 7, channels_per_group: int = 8, dilation: int = 1,
                 similarity: str = 'squared_difference', border: str | float = -100.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.in_conv = self.conv(self.in_channels, self.channels)
        self.attention = LocalRelation(
            self.channels, window=window, channels_per_group=channels_per_group, dilation=dilation,
            similarity=similarity, border=border)
        self.out_conv = self.conv(self.channels, self.channels)
