"""APCNet's head."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmseg_attn.attention.apcnet import AdaptiveContext
from mmseg_attn.ops.checks import check_all_positive
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class APCHead(AttentionHead):
    """Adaptive Pyramid Context Network, CVPR 2019.

        concatenate the backbone's features with Adaptive Context of every pool scale -> conv3x3 -> classifier

    ``attention_map`` is the mean of the maps of the pool scales.

    Args:
        pool_scales: cells along a side of the pooled map, one block for each.
        fusion: one more 1 x 1 convolution at the end of every block.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).
            BatchNorm trains with 2 images per GPU and more, as it works on maps of one pixel; ``SyncBN`` for few.

    Raises:
        ValueError: ``pool_scales`` is empty or has a value below 1; or, in the forward, a BatchNorm in training meets
            a single image.
    """

    def __init__(self, *args, pool_scales: tuple[int, ...] = (1, 2, 3, 6), fusion: bool = True, **kwargs):
        super().__init__(*args, **kwargs)
        check_all_positive(pool_scales=pool_scales)
        self.attention: Sequence[AdaptiveContext] = nn.ModuleList(  # type: ignore[assignment]  # it is not generic
            AdaptiveContext(self.in_channels, out_channels=self.channels, pool_scale=scale, fusion=fusion,
                            norm_layer=self.norm_layer, act_layer=self.act_layer)
            for scale in pool_scales)
        self.bottleneck = self.concat_conv(self.in_channels + len(pool_scales) * self.channels, self.channels)

    def forward_feature(self, x: Tensor) -> Tensor:
        return self.bottleneck(x, *(block(x) for block in self.attention))

    def _attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        return torch.stack([block.attention_map(x, points) for block in self.attention]).mean(dim=0)
