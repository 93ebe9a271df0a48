"""Adaptive Context Module (APCNet, He et al., CVPR 2019,
https://openaccess.thecvf.com/content_CVPR_2019/html/He_Adaptive_Pyramid_Context_Network_for_Semantic_Segmentation_CVPR_2019_paper.html).

Official code: https://github.com/Junjun2016/APCNet, apc_head.py, which is also mmseg's head.

    P   = conv(pool_s(x))                             one vector for each of s x s cells
    X   = conv(x)
    a_n = sigmoid(W (X_n + conv(mean of X)) + b)      affinity of pixel n to each cell; no sum to one
    z_n = sum_k a_nk P_k
    y   = conv(relu(conv(z) + X))

Every conv is 1 x 1 with norm and activation.

Shapes: B images, C channels, N = H W pixels, s * s cells.

Differs from the official code: none.
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_attn.ops import determinism
from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.pixel_attention import float_or_better

from .layers import (
    ActLayer,
    NormLayer,
    check_pooled_batch,
    conv_norm_act,
    eval_mode,
    flatten_pixels,
    point_indices,
)


def adaptive_context(logits: Tensor, cells: Tensor) -> Tensor:
    """Affinity logits (B, S, H, W) and cells (B, C, S) -> ``sum_s sigmoid(logits_s) cells_s``, (B, C, H, W)."""
    return (cells @ logits.sigmoid().flatten(2)).unflatten(2, logits.shape[-2:])


def pooling_matrix(size: int, num_cells: int, like: Tensor) -> Tensor:
    """(size, num_cells) in dtype and device of ``like``: each pixel's share in adaptive pooling along one side."""
    eye = torch.eye(size, dtype=like.dtype, device=like.device)
    return F.adaptive_avg_pool1d(eye[None], num_cells)[0]


def pool_cells(x: Tensor, num_cells: int) -> Tensor:
    """Means of ``num_cells`` x ``num_cells`` cells of (B, C, H, W), by adaptive pooling."""
    if determinism.is_required(x):
        with no_autocast(x):
            wide = float_or_better(x)
            rows, columns = (pooling_matrix(size, num_cells, like=wide) for size in x.shape[-2:])
            return (rows.T @ wide @ columns).to(x.dtype)
    return F.adaptive_avg_pool2d(x, num_cells)


class AdaptiveContext(nn.Module):
    """Every pixel draws on the cells of one pooled map by an affinity that it and the whole image decide.

    Args:
        channels: channels of the input.
        out_channels: channels inside and of the output; as ``channels`` when not given.
        pool_scale: the map is pooled to ``pool_scale`` x ``pool_scale`` cells.
        fusion: one more 1 x 1 convolution at the end.
        norm_layer: channels -> module, after every convolution but the affinity's; None for a bias instead.
        act_layer: () -> module, after every norm; None for none. The sum of context and input goes through ReLU always.

    (B, channels, H, W) -> (B, out_channels, H, W).

    Raises:
        ValueError: ``pool_scale`` is below 1; or, in the forward, a BatchNorm in training meets a single image, whose
            mean leaves it one value per channel.
    """

    def __init__(self, channels: int, *, out_channels: int | None = None, pool_scale: int = 1, fusion: bool = True,
                 norm_layer: NormLayer | None = nn.BatchNorm2d, act_layer: ActLayer | None = nn.ReLU):
        super().__init__()
        check_positive(pool_scale=pool_scale, out_channels=out_channels)
        out_channels = out_channels or channels
        conv = partial(conv_norm_act, norm_layer=norm_layer, act_layer=act_layer)
        self.pool_scale = pool_scale
        self.pooled_conv = conv(channels, out_channels)
        self.in_conv = conv(channels, out_channels)
        self.global_conv = conv(out_channels, out_channels)
        self.affinity = nn.Conv2d(out_channels, pool_scale**2, 1)
        self.residual_conv = conv(out_channels, out_channels)
        self.fusion_conv = conv(out_channels, out_channels) if fusion else nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for layer in (m for m in self.children() if isinstance(m, nn.Sequential)):
            conv = layer.conv
            assert isinstance(conv, nn.Conv2d)
            nn.init.kaiming_normal_(conv.weight, mode='fan_out', nonlinearity='relu')
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)

    def forward(self, x: Tensor) -> Tensor:
        check_pooled_batch(getattr(self.global_conv, 'norm', None), x.shape[0])
        # In this order, since the backward goes the other way: the gradient of the convolution comes before that of the
        # pooling, and PyTorch needs no third map of the input's size.
        cells = self.pooled_conv(pool_cells(x, self.pool_scale))
        features = self.in_conv(x)
        context = adaptive_context(self._logits(features), cells.flatten(2))
        return self.fusion_conv(F.relu(self.residual_conv(context) + features, inplace=True))

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Affinity of each point to every cell, shared equally among the pixels that the cell is the mean of.

        Where cells overlap, a pixel adds up its shares. A point's weights sum to the sum of its affinities, which is
        between 0 and ``pool_scale``². In training mode the norms work as in evaluation.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better.
        """
        height, width = x.shape[-2:]
        index = point_indices(points, height, width).to(x.device)
        with eval_mode(self):
            logits = flatten_pixels(self._logits(self.in_conv(x)))[:, index]
        with no_autocast(x):
            affinity = float_or_better(logits).sigmoid().unflatten(2, (self.pool_scale, self.pool_scale))
            rows, columns = (pooling_matrix(size, self.pool_scale, like=affinity) for size in (height, width))
            return rows @ affinity @ columns.T

    def _logits(self, features: Tensor) -> Tensor:
        return self.affinity(features + self.global_conv(F.adaptive_avg_pool2d(features, 1)))
