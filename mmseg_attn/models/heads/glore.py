"""The head of GloRe."""

from mmseg_attn.attention.glore import GlobalReasoning
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class GloReHead(AttentionHead):
    """Graph-Based Global Reasoning Networks, https://arxiv.org/abs/1811.12814.

        conv3x3 -> global reasoning -> conv3x3 -> classifier

    The authors' head has ``channels=512`` and no auxiliary head beside it.

    Args:
        num_nodes: number of nodes.
        num_states: width of a node's state; twice ``num_nodes`` when not given.
        normalize: divide the nodes by the number of pixels. The authors' unit for classification does not by default.
        zero_init: start the block as the identity, as the authors' networks for classification do. Their segmentation
            network does not.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).
    """

    def __init__(self, *args, num_nodes: int = 64, num_states: int | None = None, normalize: bool = True,
                 zero_init: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        self.in_conv = self.conv(self.in_channels, self.channels)
        self.attention = GlobalReasoning(
            self.channels, num_nodes=num_nodes, num_states=num_states, normalize=normalize, zero_init=zero_init,
            norm_layer=self.norm_layer, act_layer=self.act_layer)
        self.out_conv = self.conv(self.channels, self.channels)
