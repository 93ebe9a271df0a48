"""Latent graph neural network (LatentGNN, Zhang et al., ICML 2019, https://arxiv.org/abs/1905.11634).

Official code: https://github.com/latentgnn/LatentGNN-V1-PyTorch, lib/latentgnn_v1.py.

    v = unit_c(norm(W_v x))    u = unit_c(norm(W_u x))                  what a pixel says, and what it asks with
    a = unit_N(relu(norm(A v)))    b = unit_d(relu(norm(B u)))          pixels to latent nodes, and back
    z = a v^T    z' = softmax_m(cos(z_n, z_m)) z                        gather, pass messages between the nodes
    y = x + gamma norm(W [relu(norm(G z'^T b)), ...])                   hand out; several kernels are concatenated

``unit`` divides by the L2 norm over channels (c), pixels (N) or nodes (d). 'symmetric' has one v and ``a = b =
unit_d(relu(norm(A v)))``. The convolution G with its norm and ReLU is there with ``graph_conv``.

Shapes: N = H W pixels, d latent nodes, D = channels / reduction.

Differs from the official code:
    - L2 norms and the graph are float32 or better: the norms' eps of 1e-12 is zero in float16;
    - there is no ``gamma``, which would be unused, where there is no residual.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_all_positive, check_positive
from mmseg_attn.ops.pixel_attention import float_or_better

from .layers import ActLayer, NormLayer, conv_norm_act, eval_mode, mean, point_indices

MODES = ('asymmetric', 'symmetric')


def latent_attention(features: Tensor, gather: Tensor, distribute: Tensor) -> Tensor:
    """Gathers the features into d latent nodes, passes messages between them, and hands them out: O(N d D).

    Args:
        features: v (B, D, N).
        gather: a (B, d, N), with which the nodes sum the pixels.
        distribute: b (B, d, N), with which the pixels sum the nodes.

    Returns:
        (B, D, N), float32 or better.
    """
    with no_autocast(features):
        features, gather, distribute = (float_or_better(t) for t in (features, gather, distribute))
        nodes = gather @ features.transpose(1, 2)
        return (node_weights(nodes) @ nodes).transpose(1, 2) @ distribute


def node_weights(nodes: Tensor) -> Tensor:
    """Nodes (B, d, D) -> (B, d, d): the softmax over cosines with which each node draws on all."""
    directions = unit(nodes, dim=2)
    return (directions @ directions.transpose(1, 2)).softmax(dim=2)


def unit(x: Tensor, dim: int) -> Tensor:
    """``x`` divided by its L2 norm along ``dim``, in float32 or better; zeros stay zeros."""
    with no_autocast(x):
        return F.normalize(float_or_better(x), dim=dim)


class _Kernel(nn.Module):
    """The way from pixels to latent nodes and back; without ``distribute`` that of ``gather`` serves for both."""

    def __init__(self, channels: int, num_nodes: int, symmetric: bool, graph_conv: bool, norm_layer: NormLayer | None,
                 act_layer: ActLayer | None):
        super().__init__()
        conv = partial(conv_norm_act, channels, norm_layer=norm_layer, act_layer=act_layer)
        self.gather = conv(num_nodes)
        self.distribute = None if symmetric else conv(num_nodes)
        self.graph_conv = conv(channels) if graph_conv else nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if isinstance(self.graph_conv, nn.Sequential):
            conv = self.graph_conv.conv
            assert isinstance(conv, nn.Conv2d)
            nn.init.normal_(conv.weight, std=0.01)

    def weights(self, features: Tensor, asking: Tensor) -> tuple[Tensor, Tensor]:
        """a and b, both (B, d, N), for v and u (B, D, H, W)."""
        gather = self.gather(features).flatten(2)
        if self.distribute is None:
            both = unit(gather, dim=1)
            return both, both
        return unit(gather, dim=2), unit(self.distribute(asking).flatten(2), dim=1)

    def forward(self, features: Tensor, asking: Tensor) -> Tensor:
        context = latent_attention(features.flatten(2), *self.weights(features, asking))
        return self.graph_conv(context.unflatten(2, features.shape[-2:]).to(features.dtype))


class LatentGNN(nn.Module):
    """Every pixel talks to every other through a few latent nodes, which are connected by how alike they are.

    Args:
        channels: channels of input and output.
        latent_dims: number d of latent nodes of each kernel. The official code names no default; its networks have 50
            to 150, 100 at stride 16.
        reduction: the nodes are ``channels / reduction`` wide (``channel_stride``). The authors' networks have 8, their
            class has 4 by default.
        mode: 'asymmetric', where pixels are gathered and served by two projections, or 'symmetric', with one. The
            latter's sums grow with the number of pixels, and float16 may not hold them.
        graph_conv: a 1 x 1 convolution with norm and activation after each kernel, as in the authors' networks.
        residual: add the input, with a learned weight ``gamma`` of the context that starts at zero. Without it the
            block does not start as the identity.
        norm_layer: channels -> module, after every convolution; None for a bias instead.
        act_layer: () -> module, after the norms named above; None for none.

    Input and output are (B, channels, H, W).

    Raises:
        ValueError: an unknown ``mode``, or a number of nodes or a ``reduction`` below 1.
    """

    def __init__(self, channels: int, *, latent_dims: Sequence[int] = (100,), reduction: int = 4,
                 mode: str = 'asymmetric', graph_conv: bool = False, residual: bool = True,
                 norm_layer: NormLayer | None = nn.BatchNorm2d, act_layer: ActLayer | None = nn.ReLU):
        super().__init__()
        check_all_positive(latent_dims=latent_dims)
        check_positive(reduction=reduction)
        if mode not in MODES:
            raise ValueError(f'mode must be one of {MODES}, got {mode!r}')
        width, symmetric = max(channels // reduction, 1), mode == 'symmetric'
        conv = partial(conv_norm_act, norm_layer=norm_layer, act_layer=None)
        self.gather_conv = conv(channels, width)
        self.distribute_conv = None if symmetric else conv(channels, width)
        self.kernels = nn.ModuleList(
            _Kernel(width, num_nodes, symmetric, graph_conv, norm_layer, act_layer) for num_nodes in latent_dims)
        self.out_conv = conv(width * len(latent_dims), channels)
        self.gamma = nn.Parameter(torch.zeros(1)) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        features, asking = self._project(x)
        context = self.out_conv(torch.cat([kernel(features, asking) for kernel in self.kernels], dim=1))
        return context if self.gamma is None else torch.addcmul(x, self.gamma, context)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """v and u, (B, D, H, W), in the dtype of the convolutions."""
        features = self.gather_conv(x)
        features = unit(features, dim=1).to(features.dtype)
        if self.distribute_conv is None:
            return features, features
        asking = self.distribute_conv(x)
        return features, unit(asking, dim=1).to(asking.dtype)

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Weights ``sum_nm b_np softmax_m(cos(z_n, z_m)) a_mj`` with which each point sums the v of the pixels.

        That is the way through the latent nodes; what follows treats all pixels alike. Of several kernels, the mean. In
        training mode the norms work as in evaluation.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better. Weights are not negative (with ReLU) and need not sum to one.
        """
        height, width = x.shape[-2:]
        index = point_indices(points, height, width).to(x.device)
        with eval_mode(self):
            features, asking = self._project(x)
            kernels = [kernel.weights(features, asking)  # type: ignore[operator]  # nn.Module may hold tensors, too
                       for kernel in self.kernels]
        with no_autocast(x):
            pixels = float_or_better(features.flatten(2)).transpose(1, 2)
            weights = mean(distribute[:, :, index].transpose(1, 2) @ node_weights(gather @ pixels) @ gather
                           for gather, distribute in kernels)
        return weights.unflatten(2, (height, width))
