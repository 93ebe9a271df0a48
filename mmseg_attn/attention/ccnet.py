"""Criss-cross attention (CCNet, Huang et al., ICCV 2019, https://arxiv.org/abs/1811.11721).

Official code: https://github.com/speedinghzl/CCNet, cc_attention/functions.py (branch pure-python) and
cc_attention/src/ca.cu (branch pytorch-1.1).

    x <- gamma sum_j softmax_j(q_i . k_j) v_j + x        j over the row and the column of pixel i, i itself once

The same step, with the same weights, is taken ``recurrence`` times: after two, every pixel has drawn on all.

Shapes: B images, C channels, N = H W pixels, D = key_channels.

Differs from the official code: ``recurrence=0``, the default of its training script, which leaves the attention out, is
an error.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.pixel_attention import float_or_better

from .layers import point_indices


def criss_cross_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention of every pixel to its row and column in O(N (H + W)) memory, the softmax in float32 or better.

    Args:
        query: (B, D, H, W).
        key: (B, D, H, W).
        value: (B, C, H, W).

    Returns:
        (B, C, H, W), channels last in memory.
    """
    along_column, along_row = (weights.to(value.dtype) for weights in criss_cross_weights(query, key))
    value = value.permute(0, 2, 3, 1)
    context = along_row @ value + (along_column @ value.transpose(1, 2)).transpose(1, 2)
    return context.permute(0, 3, 1, 2)


def criss_cross_weights(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """The weights of :func:`criss_cross_attention`, float32 or better.

    Returns:
        Of pixel (h, w), the weights of the pixels (i, w) of its column, (B, W, H, H) as [b, w, h, i], and of the
        pixels (h, j) of its row, (B, H, W, W) as [b, h, w, j]. Together they sum to one. The pixel itself has its
        weight in the row, and zero in the column.
    """
    height = query.shape[2]
    with torch.autocast(query.device.type, enabled=False):
        query, key = (float_or_better(t).permute(0, 2, 3, 1) for t in (query, key))
        along_column = query.transpose(1, 2) @ key.permute(0, 2, 3, 1)
        along_row = query @ key.transpose(2, 3)
        itself = torch.eye(height, dtype=torch.bool, device=query.device)
        along_column = along_column.masked_fill(itself, float('-inf')).transpose(1, 2)
        weights = torch.cat([along_column, along_row], dim=3).softmax(dim=3)
    return weights[..., :height].transpose(1, 2), weights[..., height:]


class CrissCrossAttention(nn.Module):
    """Every pixel draws on its row and column, ``recurrence`` times.

    Args:
        channels: channels of input and output.
        key_channels: width D of queries and keys; an eighth of ``channels`` (at least 1) when not given.
        recurrence: number of passes R, all with the same weights.

    Input and output are (B, channels, H, W). The learned weight ``gamma`` starts at zero, the block as the identity.

    Raises:
        ValueError: ``recurrence`` is below 1.
    """

    def __init__(self, channels: int, *, key_channels: int | None = None, recurrence: int = 2):
        super().__init__()
        check_positive(recurrence=recurrence, key_channels=key_channels)
        key_channels = key_channels or max(channels // 8, 1)
        self.recurrence = recurrence
        self.query = nn.Conv2d(channels, key_channels, 1)
        self.key = nn.Conv2d(channels, key_channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        # The rows and the columns of a map with channels last are matrices that need no copy before a product.
        x = x.contiguous(memory_format=torch.channels_last)
        for _ in range(self.recurrence):
            x = self._pass(x)
        return x.contiguous()

    def _pass(self, x: Tensor) -> Tensor:
        return self.gamma * criss_cross_attention(self.query(x), self.key(x), self.value(x)) + x

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Weights with which the values of the first pass enter the sum of the last at each point.

        That is ``A_R ... A_1``, the product of the maps of the passes, without ``gamma`` and the identities.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better; sums to one over the pixels.
        """
        height, width = x.shape[-2:]
        index = point_indices(points, height, width).to(x.device)
        passes = []
        for _ in range(self.recurrence):
            passes.append(criss_cross_weights(self.query(x), self.key(x)))
            x = self._pass(x)
        weights = F.one_hot(index, height * width).to(passes[0][0].dtype)
        weights = weights.unflatten(1, (height, width)).expand(len(x), -1, -1, -1)
        with torch.autocast(x.device.type, enabled=False):
            for along_column, along_row in reversed(passes):
                weights = _pass_on(weights, along_column, along_row)
        return weights


def _pass_on(weights: Tensor, along_column: Tensor, along_row: Tensor) -> Tensor:
    """Weights (B, P, H, W) on the outputs of a pass -> the same on its values."""
    through_row = weights.transpose(1, 2) @ along_row
    through_column = weights.permute(0, 3, 1, 2) @ along_column
    return through_row.transpose(1, 2) + through_column.permute(0, 2, 3, 1)
