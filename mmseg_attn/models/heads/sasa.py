"""The head of stand-alone self-attention."""

from mmseg_attn.attention.sasa import StandAloneSelfAttention
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class SASAHead(AttentionHead):
    """Stand-Alone Self-Attention in Vision Models, https://arxiv.org/abs/1906.05909, as a head.

        conv3x3 -> attention to the window around -> conv3x3 -> classifier

    The paper has the layer in the backbone, where ``mmseg_attn.StandAloneSelfAttention`` puts it, and no segmentation.

    Args:
        window: width of the window, odd.
        heads: number of heads; half of the channels is a multiple of it.
        dilation: pixels from one tap of the window to the next.
        border: of positions beyond the border, 'exclude', 'zero' or a logit.
        shared_embedding: one embedding of the positions for all heads.
        grouped: the projections of a head see its own part of the channels, instead of all.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).
    """

    def __init__(self, *args, window: int = 7, heads: int = 8, dilation: int = 1, border: str | float = 'exclude',
                 shared_embedding: bool = False, grouped: bool = True, **kwargs):
        super().__init__(*args, **kwargs)
        self.in_conv = self.conv(self.in_channels, self.channels)
        self.attention = StandAloneSelfAttention(
            self.channels, window=window, heads=heads, dilation=dilation, border=border,
            shared_embedding=shared_embedding, grouped=grouped)
        self.out_conv = self.conv(self.channels, self.channels)
