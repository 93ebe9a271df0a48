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

from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.criss_cross import criss_cross_attention, criss_cross_weights

from .layers import pixel_linear, point_indices


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
        for _ in range(self.recurrence):
            x = self._pass(x)
        return x

    def _pass(self, x: Tensor) -> Tensor:
        context = criss_cross_attention(self._project(self.query, x), self._project(self.key, x),
                                        self._project(self.value, x))
        return torch.addcmul(x, self.gamma, context)

    @staticmethod
    def _project(conv: nn.Conv2d, x: Tensor) -> Tensor:
        """With channels last in memory, as the attention wants them, whatever x has."""
        return pixel_linear(conv, x).unflatten(1, x.shape[-2:]).permute(0, 3, 1, 2)

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
        with no_autocast(x):
            for along_column, along_row in reversed(passes):
                weights = _pass_on(weights, along_column, along_row)
        return weights


def _pass_on(weights: Tensor, along_column: Tensor, along_row: Tensor) -> Tensor:
    """Weights (B, P, H, W) on the outputs of a pass -> the same on its values."""
    through_row = weights.transpose(1, 2) @ along_row
    through_column = weights.permute(0, 3, 1, 2) @ along_column
    return through_row.transpose(1, 2) + through_column.permute(0, 2, 3, 1)
