"""The head of LatentGNN."""

from collections.abc import Sequence

from mmseg_attn.attention.latentgnn import LatentGNN
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class LatentGNNHead(AttentionHead):
    """LatentGNN: Learning Efficient Non-local Relations, https://arxiv.org/abs/1905.11634, as a segmentation head.

        conv3x3 -> latent graph -> conv3x3 -> classifier

    The authors have no segmentation head for images.

    Args:
        latent_dims: number of latent nodes of each kernel.
        reduction: the nodes are ``channels / reduction`` wide.
        mode: 'asymmetric' or 'symmetric'.
        graph_conv: a 1 x 1 convolution with norm and activation after each kernel, as in the authors' networks.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).
    """

    def __init__(self, *args, latent_dims: Sequence[int] = (100,), reduction: int = 4, mode: str = 'asymmetric',
                 graph_conv: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        self.in_conv = self.conv(self.in_channels, self.channels)
        self.attention = LatentGNN(
            self.channels, latent_dims=latent_dims, reduction=reduction, mode=mode, graph_conv=graph_conv,
            norm_layer=self.norm_layer, act_layer=self.act_layer)
        self.out_conv = self.conv(self.channels, self.channels)
