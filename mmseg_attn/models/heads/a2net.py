"""The head of A2-Net."""

from torch import nn

from mmseg_attn.attention.a2net import DoubleAttention
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class A2Head(AttentionHead):
    """A2-Nets: Double Attention Networks, https://arxiv.org/abs/1810.11579, as a segmentation head.

        add    conv3x3 -> double attention -> conv3x3 -> concatenate the backbone's features, conv3x3 -> classifier
        cat    conv3x3 -> double attention -> classifier

    The paper has no segmentation head. 'add' is its block in the structure of mmseg's NLHead, 'cat' is the A2Net of
    openseg.pytorch, which has ``channels=512, num_maps=32, dropout_ratio=0.05`` and LeakyReLU(0.01) after its norms.

    Args:
        value_channels: width of the global descriptors; when not given, ``channels`` / 4 for 'add', / 2 for 'cat'.
        num_maps: number of global descriptors; ``channels`` / 4 when not given.
        fusion: 'add' or 'cat', which also name the two forms of the block.
        scale: max-pool the block's input by this factor and interpolate its result back.
        concat_input: with 'add', the concatenation and the convolution after it.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).
    """

    def __init__(self, *args, value_channels: int | None = None, num_maps: int | None = None, fusion: str = 'add',
                 scale: int = 1, concat_input: bool = True, **kwargs):
        super().__init__(*args, **kwargs)
        openseg = fusion == 'cat'
        self.concat_input = concat_input and not openseg
        self.in_conv = self.conv(self.in_channels, self.channels, bias=True if openseg else 'auto')
        self.attention = DoubleAttention(
            self.channels, value_channels=value_channels, num_maps=num_maps, fusion=fusion, scale=scale,
            norm_layer=self.norm_layer, act_layer=self.act_layer)
        self.out_conv = nn.Identity() if openseg else self.conv(self.channels, self.channels)
        if self.concat_input:
            self.cat_conv = self.concat_conv(self.in_channels + self.channels, self.channels)
