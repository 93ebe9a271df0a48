"""Graph convolution units (Beyond Grids, Li and Gupta, NeurIPS 2018,
https://papers.nips.cc/paper/8135-beyond-grids-learning-graph-representations-for-visual-recognition).

No official code, and no other was followed.

    r_ik = (x_i - w_k) / sigma_k                      sigma_k = sigmoid(s_k) in (0, 1), for each channel
    q_ik = softmax_k(-|r_ik|^2 / 2)                   how pixel i is assigned to the nodes
    z_k  = l2norm(sum_i q_ik r_ik / sum_i q_ik)       a node is what its pixels have beyond its anchor
    Z~   = relu(Z Z^T Z W)                            messages between nodes that are alike
    u_i  = sum_k q_ik z~_k                            back to the pixels, by the same assignment

:class:`BeyondGrids` has several such units side by side: ``y = act(norm(conv([x, u, u', ...])))``.

Shapes: B images, C channels, N = H W pixels, K nodes, D channels of u.

Differs from the paper:
    - the distances are matrix products, so that no tensor of N x K x C elements exists, in float32 or better;
    - the divisors are at least 1e-6: a node without pixels is zero.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_all_positive, check_positive, check_shape
from mmseg_attn.ops.pixel_attention import float_or_better

from .layers import ActLayer, NormLayer, conv_norm_act, mean, point_indices

EPS = 1e-6
KMEANS_STEPS = 20
# A sigmoid reaches neither 0 nor 1.
FITTED_SIGMAS = 0.1, 0.9


def assign(pixels: Tensor, anchors: Tensor, sigmas: Tensor, num_nodes: Sequence[int]) -> Tensor:
    """Softmax of ``-|(x - w) / sigma|^2 / 2`` over the nodes of each graph.

    Args:
        pixels: (B, C, N).
        anchors: w (K, C), of all graphs.
        sigmas: (K, C).
        num_nodes: nodes of each graph, K together.

    Returns:
        (B, K, N).
    """
    precision = sigmas.square().reciprocal()
    terms = -precision / 2, anchors * precision, -(anchors.square() * precision).sum(dim=1, keepdim=True) / 2
    # The softmax does not feel what all nodes have in common, which would only take digits from the rest.
    square, linear, constant = (term - term.mean(dim=0) for term in terms)
    logits = square @ pixels.square() + linear @ pixels + constant
    return torch.cat([graph.softmax(dim=1) for graph in logits.split(list(num_nodes), dim=1)], dim=1)


def gather(pixels: Tensor, assignment: Tensor, anchors: Tensor, sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """Sums the residuals of the pixels into nodes of unit length, of a node without pixels into zero.

    Args:
        pixels: (B, C, N).
        assignment: q (B, K, N).
        anchors: w (K, C).
        sigmas: (K, C).

    Returns:
        The nodes z (B, K, C), and the factors (B, K, 1) that brought the sums to their length.
    """
    mass = assignment.sum(dim=2, keepdim=True)
    means = (assignment @ pixels.transpose(1, 2) - mass * anchors) / (sigmas * (mass + EPS))
    length = means.norm(dim=2, keepdim=True) + EPS
    return means / length, 1 / ((mass + EPS) * length)


def convolve(nodes: Tensor, weight: Tensor, act: Callable[[Tensor], Tensor] = torch.relu) -> Tensor:
    """``act(Z Z^T Z W)`` of nodes (B, K, C) and a weight (C, D) -> (B, K, D)."""
    return act(nodes @ nodes.transpose(1, 2) @ (nodes @ weight))


def kmeans(pixels: Tensor, num_clusters: int) -> tuple[Tensor, Tensor]:
    """Centres and standard deviations, each (K, C), of clusters of pixels (N, C). The same for the same pixels.

    The clusters start at pixels evenly spread in the order of the sums of their channels. One that loses all pixels
    stays where it is, with deviations of zero.
    """
    order = pixels.sum(dim=1).argsort(stable=True)
    quantiles = (torch.arange(num_clusters, device=pixels.device) + 0.5) / num_clusters
    centres = pixels[order[(quantiles * len(pixels)).long()]]
    for _ in range(KMEANS_STEPS):
        members = torch.cdist(pixels, centres).argmin(dim=1)
        one_hot = nn.functional.one_hot(members, num_clusters).to(pixels.dtype)
        counts = one_hot.sum(dim=0)[:, None]
        centres = torch.where(counts > 0, one_hot.T @ pixels / counts.clamp(min=1), centres)
    variances = one_hot.T @ (pixels - centres[members]).square() / counts.clamp(min=1)
    return centres, variances.sqrt()


class GraphConvolutionUnit(nn.Module):
    """Pixels are assigned to K nodes, nodes that are alike exchange messages, and pixels get their nodes' states.

    Args:
        channels: channels of the input.
        num_nodes: number K of nodes.
        out_channels: channels of the output; ``channels`` when not given.
        act_layer: () -> module, of the nodes after the graph convolution; None for none.

    (B, channels, H, W) -> (B, out_channels, H, W). The output does not contain the input: :class:`BeyondGrids` puts
    them together. The anchors start uniform in (0, 1), and so do the values under the sigmoid that gives the sigmas;
    :meth:`fit_nodes` starts them from features, as the paper does.

    Raises:
        ValueError: ``num_nodes`` or ``out_channels`` is below 1.
    """

    def __init__(self, channels: int, *, num_nodes: int = 32, out_channels: int | None = None,
                 act_layer: ActLayer | None = nn.ReLU):
        super().__init__()
        check_positive(num_nodes=num_nodes, out_channels=out_channels)
        self.num_nodes = num_nodes
        self.anchors = nn.Parameter(torch.empty(num_nodes, channels))
        self.sigma_logits = nn.Parameter(torch.empty(num_nodes, channels))
        self.weight = nn.Parameter(torch.empty(channels, out_channels or channels))
        self.act = act_layer() if act_layer else nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.uniform_(self.anchors)
        nn.init.uniform_(self.sigma_logits)
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return _contexts(x, [self])[0]

    @torch.no_grad()
    def fit_nodes(self, features: Tensor) -> None:
        """Starts anchors and sigmas at the means and standard deviations of clusters that K-means finds.

        No chance is in it. The deviations are limited to between 0.1 and 0.9. Under data parallelism every process must
        be given the same features.

        Args:
            features: what the block will be given, (B, channels, H, W), for some images.

        Raises:
            ValueError: features of another shape, or not finite.
        """
        check_shape('features', features, None, self.anchors.shape[1], None, None)
        if not features.isfinite().all():
            raise ValueError('features must be finite, got some that are not')
        pixels = float_or_better(features.flatten(2)).transpose(1, 2).flatten(0, 1)
        with no_autocast(features):
            centres, deviations = kmeans(pixels, self.num_nodes)
        self.anchors.copy_(centres)
        self.sigma_logits.copy_(deviations.clamp(*FITTED_SIGMAS).logit())

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Weights ``sum_kl q_pk (Z Z^T)_kl q_jl / c_l`` with which each point draws on the residuals of the pixels.

        A point draws on a pixel as far as its nodes are like those of the pixel; ``c_l`` is what divides the sum of
        node l. A pixel sends each node its residual ``r_jl``, another for every node: where the nodes have the same
        sigmas, these are one vector less the node's anchor. This is the linear path, in which the activation is left
        out, and W, which treats all pixels alike.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better. Weights have either sign and need not sum to one.
        """
        height, width = x.shape[-2:]
        index = point_indices(points, height, width).to(x.device)
        with no_autocast(x):
            pixels = float_or_better(x.flatten(2))
            anchors, sigmas = _anchors_and_sigmas([self])
            assignment = assign(pixels, anchors, sigmas, [self.num_nodes])
            nodes, scale = gather(pixels, assignment, anchors, sigmas)
            heard = assignment[:, :, index].transpose(1, 2) @ nodes @ nodes.transpose(1, 2)
            return (heard @ (scale * assignment)).unflatten(2, (height, width))


class BeyondGrids(nn.Module):
    """Graph convolution units of several sizes, merged with the input by a 1 x 1 convolution.

    Args:
        channels: channels of input and output.
        num_nodes: nodes of each unit.
        unit_channels: channels that each unit gives; an equal part of ``channels`` when not given.
        norm_layer: channels -> module, after the convolution; None for a bias instead.
        act_layer: () -> module, in the units and at the end; None for none.
        zero_init: start as the identity: the result, times a learned ``gamma`` that starts at zero, is added to the
            input. Without it the result is the output.

    Input and output are (B, channels, H, W).

    Raises:
        ValueError: ``num_nodes`` is not a sequence of positive integers, or ``unit_channels`` is below 1.
    """

    def __init__(self, channels: int, *, num_nodes: Sequence[int] = (2, 4, 8, 32), unit_channels: int | None = None,
                 norm_layer: NormLayer | None = nn.BatchNorm2d, act_layer: ActLayer | None = nn.ReLU,
                 zero_init: bool = False):
        super().__init__()
        check_all_positive(num_nodes=num_nodes)
        check_positive(unit_channels=unit_channels)
        width = unit_channels or max(channels // len(num_nodes), 1)
        self.units: Sequence[GraphConvolutionUnit] = nn.ModuleList(  # type: ignore[assignment]  # it is not generic
            GraphConvolutionUnit(channels, num_nodes=number, out_channels=width, act_layer=act_layer)
            for number in num_nodes)
        self.out_conv = conv_norm_act(channels + len(num_nodes) * width, channels, norm_layer=norm_layer,
                                      act_layer=act_layer)
        self.gamma = nn.Parameter(torch.zeros(1)) if zero_init else None

    def forward(self, x: Tensor) -> Tensor:
        out = self.out_conv(torch.cat([x, *_contexts(x, self.units)], dim=1))
        return out if self.gamma is None else torch.addcmul(x, self.gamma, out)

    def fit_nodes(self, features: Tensor) -> None:
        """:meth:`GraphConvolutionUnit.fit_nodes` of every unit."""
        for unit in self.units:
            unit.fit_nodes(features)

    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """The mean of the maps of the units.

        Arguments and result are those of :meth:`GraphConvolutionUnit.attention_map`.
        """
        return mean(unit.attention_map(x, points) for unit in self.units)


def _contexts(x: Tensor, units: Sequence[GraphConvolutionUnit]) -> list[Tensor]:
    """What each unit gives. The distances to the nodes of all are one product."""
    num_nodes = [unit.num_nodes for unit in units]
    with no_autocast(x):
        pixels = float_or_better(x.flatten(2))
        anchors, sigmas = _anchors_and_sigmas(units)
        assignment = assign(pixels, anchors, sigmas, num_nodes)
        nodes, _ = gather(pixels, assignment, anchors, sigmas)
        graphs = zip(units, nodes.split(num_nodes, dim=1), assignment.split(num_nodes, dim=1), strict=True)
        return [(convolve(of_graph, float_or_better(unit.weight), unit.act).transpose(1, 2) @ shares).to(x.dtype)
                .unflatten(2, x.shape[-2:]) for unit, of_graph, shares in graphs]


def _anchors_and_sigmas(units: Sequence[GraphConvolutionUnit]) -> tuple[Tensor, Tensor]:
    anchors, logits = (float_or_better(torch.cat([getattr(unit, name) for unit in units]))
                       for name in ('anchors', 'sigma_logits'))
    return anchors, logits.sigmoid()
