"""The head of SGR."""

from mmseg_attn.attention.sgr import Matrix, SymbolicGraphReasoning
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class SGRHead(AttentionHead):
    """Symbolic Graph Reasoning Meets Convolutions, NeurIPS 2018.

        conv3x3 -> symbolic graph reasoning -> conv3x3 -> classifier

    Args:
        num_nodes: number of concepts; ``num_classes`` when neither this nor a matrix is given.
        adjacency: the graph of the concepts: nested lists, or a .pt or .npy file; None for no edges.
        embeddings: vectors for the names of the concepts, in the same forms; None to learn them.
        embedding_channels: width of those that are learned; 0 for none.
        state_channels: width of a concept's state; ``channels`` when not given.
        num_layers: graph convolutions.
        compat: how a concept suits a pixel: 'bilinear', or 'additive' as in the paper, where all pixels of an image get
            the same mixture of concepts.
        normalize: divide what is voted for a concept by the number of pixels. The paper does not.
        zero_init: start the block as the identity.
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).
    """

    def __init__(self, *args, num_nodes: int | None = None, adjacency: Matrix | None = None,
                 embeddings: Matrix | None = None, embedding_channels: int = 300, state_channels: int | None = None,
                 num_layers: int = 1, compat: str = 'bilinear', normalize: bool = True, zero_init: bool = False,
                 **kwargs):
        super().__init__(*args, **kwargs)
        if num_nodes is None and adjacency is None and embeddings is None:
            num_nodes = self.num_classes
        self.in_conv = self.conv(self.in_channels, self.channels)
        self.attention = SymbolicGraphReasoning(
            self.channels, num_nodes=num_nodes, adjacency=adjacency, embeddings=embeddings,
            embedding_channels=embedding_channels, state_channels=state_channels, num_layers=num_layers, compat=compat,
            normalize=normalize, act_layer=self.act_layer, zero_init=zero_init)
        self.out_conv = self.conv(self.channels, self.channels)
