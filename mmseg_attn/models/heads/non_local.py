"""The Non-local head."""

from mmseg_attn.attention.non_local import NonLocal
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class NLHead(AttentionHead):
    """Non-local Neural Networks, https://arxiv.org/abs/1711.07971, as a segmentation head.

        conv3x3 -> Non-local -> conv3x3 -> concatenate the backbone's features, conv3x3 -> classifier

    The paper has no segmentation head; this is the structure of mmseg's NLHead.

    Args:
        reduction: ``channels`` divided by the width of queries, keys and values.
        mode: 'embedded_gaussian', 'gaussian', 'dot_product' or 'concatenation'.
        use_scale: divide the logits of 'embedded_gaussian' by the square root of their width.
        sub_sample: max-pool keys and values 'before' or 'after' their projections; None does not.
        concat_input: the concatenation and the convolution after it.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).
    """

    def __init__(self, *args, reduction: int = 2, mode: str = 'embedded_gaussian', use_scale: bool = True,
                 sub_sample: str | None = None, concat_input: bool = True, **kwargs):
        super().__init__(*args, **kwargs)
        check_positive(reduction=reduction)
        self.concat_input = concat_input
        self.in_conv = self.conv(self.in_channels, self.channels)
        self.attention = NonLocal(
            self.channels, key_channels=max(self.channels // reduction, 1), mode=mode, use_scale=use_scale,
            sub_sample=sub_sample, norm_layer=self.norm_layer)
        self.out_conv = self.conv(self.channels, self.channels)
        if concat_input:
            self.cat_conv = self.concat_conv(self.in_channels + self.channels, self.channels)
