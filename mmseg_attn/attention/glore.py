"""Graph-based global reasoning (GloRe, Chen et al., CVPR 2019, https://arxiv.org/abs/1811.12814).

Official code: https://github.com/facebookresearch/GloRe, network/global_reasoning_unit.py, and the segmentation network
that the authors packed with its weights (a mirror: https://github.com/tousifulhaque/DANet,
encoding/models/sseg/gcnet.py).

    S = state(x)    P = proj(x)                 what a pixel says, and to which nodes
    V = S P^T / N                               project the pixels to nodes
    U = W_s relu(V + (W_g V^T + b_g)^T)         pass messages between the nodes, then update their states
    y = x + norm(W (U P))                       project back with the same P

Shapes: N = H W pixels, n = num_nodes, s = num_states.

Differs from the official code:
    - P is divided by N before the product, which in half precision would overflow, and the graph is float32 or better;
    - ``normalize`` is on by default, as the segmentation network always has it; the unit has it off;
    - there is no ``kernel``: the unit's convolutions are 1 x 1, as in the official networks.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.pixel_attention import float_or_better

from .layers import ActLayer, NormLayer, point_indices, zero_init


def global_reasoning(states: Tensor, projection: Tensor, adjacency: Tensor, bias: Tensor, update: Tensor,
                     act: Callable[[Tensor], Tensor] = torch.relu, normalize: bool = True) -> Tensor:
    """Projects pixels to nodes, reasons over the graph of the nodes, and projects back: O(N n s).

    Args:
        states: S (B, s, N).
        projection: P (B, n, N), of either sign.
        adjacency: W_g (n, n), to which the identity is added.
        bias: b_g (n,), added to all states of a node.
        update: W_s (s, s).
        act: what stands between the messages and the update.
        normalize: divide the sums over the pixels by their number.

    Returns:
        (B, s, N).
    """
    with no_autocast(states):
        pixels, projection, adjacency, bias, update = (
            float_or_better(t) for t in (states, projection, adjacency, bias, update))
        nodes = normalize_projection(projection, normalize) @ pixels.transpose(1, 2)
        nodes = nodes + adjacency @ nodes + bias[:, None]
        nodes = act(nodes) @ update.T
        return (nodes.transpose(1, 2) @ projection).to(states.dtype)


def normalize_projection(projection: Tensor, normalize: bool) -> Tensor:
    return projection / projection.shape[2] if normalize else projection


class GlobalReasoning(nn.Module):
    """Every pixel talks to every other through a small graph, whose nodes are learned projections of the image.

    Args:
        channels: channels of input and output.
        num_nodes: number n of nodes (``num_mid`` of the official code).
        num_states: width s of a node's state; twice ``num_nodes`` when not given, which the official code always has.
        normalize: divide by the number of pixels. Without it the values grow with the image, and float16 may not hold
            them.
        norm_layer: channels -> module, after the last convolution; None for none. The official unit has BatchNorm2d
            with ``eps=1e-4``, the segmentation network one with 1e-5.
        act_layer: () -> module, between the messages and the update of the states; None for none.
        zero_init: start as the identity, by a zero weight of the norm (of the last convolution where it has none). The
            official training scripts of the unit do; the segmentation network does not.

    Input and output are (B, channels, H, W).

    Raises:
        ValueError: ``num_nodes`` or ``num_states`` is below 1.
    """

    def __init__(self, channels: int, *, num_nodes: int = 64, num_states: int | None = None, normalize: bool = True,
                 norm_layer: NormLayer | None = nn.BatchNorm2d, act_layer: ActLayer | None = nn.ReLU,
                 zero_init: bool = True):
        super().__init__()
        check_positive(num_nodes=num_nodes, num_states=num_states)
        if num_states is None:
            num_states = 2 * num_nodes
        self.normalize = normalize
        self.zero_init = zero_init
        self.state = nn.Conv2d(channels, num_states, 1)
        self.projection = nn.Conv2d(channels, num_nodes, 1)
        self.node_conv = nn.Conv1d(num_nodes, num_nodes, 1)
        self.state_conv = nn.Conv1d(num_states, num_states, 1, bias=False)
        self.act = act_layer() if act_layer else nn.Identity()
        self.out_conv = nn.Conv2d(num_states, channels, 1, bias=norm_layer is None)
        self.norm = norm_layer(channels) if norm_layer else nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if not self.zero_init:
            return
        has_weight = getattr(self.norm, 'weight', None) is not None
        zero_init(self.norm if has_weight else self.out_conv)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.node_conv.bias
        assert bias is not None
        context = global_reasoning(
            self.state(x).flatten(2), self.projection(x).flatten(2), self.node_conv.weight.squeeze(2),
            bias, self.state_conv.weight.squeeze(2), self.act, self.normalize)
        return x + self.norm(self.out_conv(context.unflatten(2, x.shape[-2:])))

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Weights ``sum_nm P_np (I + W_g)_nm P_mj / N`` with which each point draws on the states of the pixels.

        A point draws on a pixel as far as its nodes hear of the pixel's nodes. This is the linear path through the
        graph: left out are the activation, which works on sums over all pixels, and ``b_g`` and the update of the
        states, which treat all pixels alike. With ``act_layer=None``, or where no node is negative, what a point
        receives is, but for those two, exactly the sum of the pixels' states with these weights.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better. Weights have either sign and need not sum to one.
        """
        height, width = x.shape[-2:]
        index = point_indices(points, height, width).to(x.device)
        projection = self.projection(x).flatten(2)
        with no_autocast(x):
            projection, adjacency = float_or_better(projection), float_or_better(self.node_conv.weight.squeeze(2))
            heard = projection[:, :, index].transpose(1, 2)
            heard = heard + heard @ adjacency
            weights = heard @ normalize_projection(projection, self.normalize)
        return weights.unflatten(2, (height, width))
