"""Stand-alone self-attention (Ramachandran et al., NeurIPS 2019, https://arxiv.org/abs/1906.05909).

Official code: none (https://github.com/google-research/google-research, standalone_self_attention_in_vision_models,
holds a text only). With one head it equals https://github.com/skmhrk1209/Stand-Alone-Self-Attention, modules.py.

    q = W_q x    k = W_k x    v = W_v x                              in each head, on its part of the channels
    y_i = sum_ab softmax_ab(q_i . (k_{i + ab} + r_ab)) v_{i + ab}    ab in the K x K window around i
    r_ab = [row_a ; column_b]                                        learned

Shapes: d = out_channels / heads.

Differs from the official code: there is none. What the paper leaves open is an argument: ``border``,
``shared_embedding``, ``grouped``.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.windowed_attention import check_window, outside_logit, windowed_attention, windowed_weights

from .layers import point_indices


class StandAloneSelfAttention(nn.Module):
    """Multi-head attention of every pixel to the K x K pixels around it, which takes the place of a convolution.

    Args:
        channels: channels of the input.
        out_channels: channels of the output; ``channels`` when not given.
        window: K, odd.
        heads: number of heads. Each has an even number of output channels, half of them for rows, half for columns.
        stride: the output is pooled to means of ``stride`` x ``stride`` pixels; at the end of a side, of those there
            are.
        dilation: pixels from one tap of the window to the next.
        border: 'exclude' gives positions beyond the border no weight. With 'zero' they are zero keys with embeddings,
            whose weight goes to zero values, so that the rim is darker. A number is their logit, besides the
            embedding's.
        shared_embedding: one embedding of the positions for all heads.
        grouped: the projections of a head see its own part of the input's channels, instead of all.

    Input is (B, channels, H, W), output (B, out_channels, h, w) with h = ceil(H / stride) and w = ceil(W / stride).

    Raises:
        ValueError: an even window, heads that do not fit the channels, or an unknown border.
    """

    def __init__(self, channels: int, *, out_channels: int | None = None, window: int = 7, heads: int = 8,
                 stride: int = 1, dilation: int = 1, border: str | float = 'exclude', shared_embedding: bool = False,
                 grouped: bool = True):
        super().__init__()
        check_window(window, stride, dilation, 'product')
        check_positive(out_channels=out_channels, heads=heads)
        outside_logit(border)
        out_channels = out_channels or channels
        if out_channels % (2 * heads):
            raise ValueError(f'each head needs an even number of channels: heads={heads} does not divide half of the '
                             f'{out_channels} output channels')
        if grouped and channels % heads:
            raise ValueError(f'heads must divide the {channels} input channels, got {heads}; grouped=False has '
                             'projections of all channels')
        self.stride = stride
        self.options: dict[str, Any] = dict(window=window, groups=heads, dilation=dilation, border=border)
        self.query, self.key, self.value = (
            nn.Conv2d(channels, out_channels, 1, groups=heads if grouped else 1, bias=False) for _ in range(3))
        shape = 1 if shared_embedding else heads, out_channels // heads // 2, window
        self.row_embedding = nn.Parameter(torch.empty(shape))
        self.column_embedding = nn.Parameter(torch.empty(shape))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        # So that queries of variance one get logits of variance one. The paper's values are not published.
        std = (2 * self.row_embedding.shape[1])**-0.5
        nn.init.normal_(self.row_embedding, std=std)
        nn.init.normal_(self.column_embedding, std=std)

    def forward(self, x: Tensor) -> Tensor:
        out = windowed_attention(self.query(x), self.key(x), self.value(x), embedding=self._embedding(),
                                 **self.options)
        if self.stride == 1:
            return out
        return F.avg_pool2d(out, self.stride, ceil_mode=True, count_include_pad=False)

    def _embedding(self) -> Tensor:
        """That of every tap, (heads, K^2, d)."""
        row, column = self.row_embedding.transpose(1, 2), self.column_embedding.transpose(1, 2)
        window = row.shape[1]
        both = torch.cat([row[:, :, None].expand(-1, -1, window, -1), column[:, None].expand(-1, window, -1, -1)], 3)
        return both.flatten(1, 2).expand(self.options['groups'], -1, -1)

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """The mean over the heads of the weights with which each point draws on the pixels.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column) in the map before it is pooled.

        Returns:
            (B, P, H, W), float32 or better. They sum to one, less what the positions beyond the border have.
        """
        point_indices(points, *x.shape[-2:])
        return windowed_weights(self.query(x), self.key(x), points, embedding=self._embedding(), **self.options)
