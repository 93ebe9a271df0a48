"""ISA's head."""

from collections.abc import Sequence

from torch import Tensor

from mmseg_attn.attention.isanet import InterlacedSparseSelfAttention
from mmseg_attn.registry import MODELS

from .base import LEAKY_RELU, AttentionHead


@MODELS.register_module()
class ISAHead(AttentionHead):
    """Interlaced Sparse Self-Attention for Semantic Segmentation, https://arxiv.org/abs/1907.12273.

        conv3x3 -> interlaced attention, merged with its input -> classifier

    Args:
        isa_channels: width of queries and keys; half of ``channels`` when not given.
        value_channels: width of the values; ``channels`` when not given.
        down_factors: height and width of the cells of pixels, or a sequence of several such pairs; 8 x 8 when not
            given.
        down_factor: mmseg's name for ``down_factors``.
        value_bias: a bias in the projection to values, as mmseg's ISAHead has it. The official code has none.
        mask_padding: give the zeros that fill up the cells no weight. In the official code and in mmseg they take part.
        dropout_ratio: of the channels before the classifier. mmseg's default is 0.1.
        act_cfg: of all activations. The released model has LeakyReLU(0.01), mmseg ReLU.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).

    Raises:
        ValueError: both names of ``down_factors``, or what InterlacedSparseSelfAttention refuses.
    """

    def __init__(self, *args, isa_channels: int | None = None, value_channels: int | None = None,
                 down_factors: int | Sequence | None = None, down_factor: int | Sequence | None = None,
                 value_bias: bool = False, mask_padding: bool = False, dropout_ratio: float = 0.05,
                 act_cfg: dict | None = LEAKY_RELU, **kwargs):
        super().__init__(*args, dropout_ratio=dropout_ratio, act_cfg=act_cfg, **kwargs)
        if down_factors is not None and down_factor is not None:
            raise ValueError(f'give down_factors or down_factor, not both: got {down_factors} and {down_factor}')
        if down_factors is None:
            down_factors = ((8, 8),) if down_factor is None else down_factor
        self.in_conv = self.conv(self.in_channels, self.channels)
        self.attention = InterlacedSparseSelfAttention(
            self.channels, key_channels=isa_channels, value_channels=value_channels, down_factors=down_factors,
            value_bias=value_bias, mask_padding=mask_padding, norm_layer=self.norm_layer, act_layer=self.act_layer)

    def forward_feature(self, x: Tensor) -> Tensor:
        return self.attention(self.in_conv(x))
