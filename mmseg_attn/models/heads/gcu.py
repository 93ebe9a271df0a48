"""The head of Beyond Grids."""

from mmseg_attn.attention.gcu import BeyondGrids
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class GCUHead(AttentionHead):
    """Beyond Grids: Learning Graph Representations for Visual Recognition, NeurIPS 2018.

        conv3x3 -> graph convolution units beside their input -> conv1x1 -> conv3x3 -> classifier

    Args:
        num_nodes: nodes of each unit.
        unit_channels: channels that each unit gives; an equal part of ``channels`` when not given.
        zero_init: start the block as the identity.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).
    """

    def __init__(self, *args, num_nodes: tuple[int, ...] = (2, 4, 8, 32), unit_channels: int | None = None,
                 zero_init: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        self.in_conv = self.conv(self.in_channels, self.channels)
        self.attention = BeyondGrids(
            self.channels, num_nodes=num_nodes, unit_channels=unit_channels, norm_layer=self.norm_layer,
            act_layer=self.act_layer, zero_init=zero_init)
        self.out_conv = self.conv(self.channels, self.channels)
