"""The head of CGNL."""

from mmseg_attn.attention.cgnl import CompactGeneralizedNonLocal
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class CGNLHead(AttentionHead):
    """Compact Generalized Non-local Network, https://arxiv.org/abs/1810.13125, as a segmentation head.

        conv3x3 -> compact generalized non-local -> conv3x3 -> classifier

    The authors have no segmentation head.

    Args:
        key_channels: width of the projections; half of ``channels`` when not given.
        num_groups: number of groups of channels, within which channels draw on each other.
        kernel: 'dot_product' (CGNL) or 'rbf' (CGNLx).
        order: the highest power in the Taylor series of 'rbf'.
        use_scale: divide the sum by the square root of the number of its terms.
        group_norm: the block's norm is the authors' GroupNorm, which keeps only the sign of the sum over the pixels;
            otherwise it is that of ``norm_cfg``. Without a ``norm_cfg`` there is none.
        zero_init: start the block as the identity, as the authors' networks do.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).
    """

    def __init__(self, *args, key_channels: int | None = None, num_groups: int = 8, kernel: str = 'dot_product',
                 order: int = 3, use_scale: bool = False, group_norm: bool = True, zero_init: bool = True, **kwargs):
        super().__init__(*args, **kwargs)
        self.in_conv = self.conv(self.in_channels, self.channels)
        self.attention = CompactGeneralizedNonLocal(
            self.channels, key_channels=key_channels, num_groups=num_groups, kernel=kernel, order=order,
            use_scale=use_scale, zero_init=zero_init,
            norm_layer='group' if group_norm and self.norm_cfg else self.norm_layer)
        self.out_conv = self.conv(self.channels, self.channels)
