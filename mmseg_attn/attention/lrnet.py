"""Local relation (LR-Net, Hu et al., ICCV 2019, https://arxiv.org/abs/1904.11491).

Official code: https://github.com/microsoft/Swin-Transformer, branch LR-Net, ops/local_relation: the operation. The
layer around it was not published.

    w = softmax over the K x K window of (phi(query(x)_i, key(x)_j) + prior(j - i))
    y = W (sum_j w_ij x_j)

with a query and a key of one number for each group of m channels, and ``prior`` a perceptron on the offset.

Shapes: G = channels / m groups.

Differs from the official code:
    - the layer is that of the paper: the code adds a table of logits, for which ``prior`` stands here;
    - there is no "saliency" (keys of more channels than queries);
    - there are bfloat16, a CPU, and a backward for any stride.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.windowed_attention import check_window, outside_logit, windowed_attention, windowed_weights

from .layers import point_indices


class LocalRelation(nn.Module):
    """Every pixel is a mean of the K x K pixels around it, weighted by how well they compose with it and by where they
    lie. It takes the place of a convolution.

    Args:
        channels: channels of the input.
        out_channels: channels of the output; ``channels`` when not given.
        window: K, odd.
        channels_per_group: m, how many channels share their weights.
        stride: pixels of the input from one of the output to the next.
        dilation: pixels from one tap of the window to the next.
        similarity: phi, one of 'product', 'key', 'difference', 'normalized_difference',
            'normalized_squared_difference' and 'squared_difference', which are 0 to 5 of the official code.
        border: of positions beyond the border, whose features are zero: the logit to which the prior is added, -100 in
            the official code; 'exclude' for no weight, or 'zero' for the logit of a zero key. Where the differences
            inside exceed 100, a logit of -100 has most of the weight.
        hidden_channels: width of the perceptron; G when not given. The paper's is not published.
        normalize_offsets: offsets of -1 to 1 instead of pixels. Which the paper has is not published.
        bias: whether the last convolution has one.

    Input is (B, channels, H, W), output (B, out_channels, h, w) with h = ceil(H / stride) and w = ceil(W / stride).

    Raises:
        ValueError: an even window, groups that do not divide ``channels``, or an unknown similarity or border.
    """

    offsets: Tensor

    def __init__(self, channels: int, *, out_channels: int | None = None, window: int = 7, channels_per_group: int = 8,
                 stride: int = 1, dilation: int = 1, similarity: str = 'squared_difference',
                 border: str | float = -100.0, hidden_channels: int | None = None, normalize_offsets: bool = True,
                 bias: bool = True):
        super().__init__()
        check_window(window, stride, dilation, similarity)
        check_positive(out_channels=out_channels, channels_per_group=channels_per_group,
                       hidden_channels=hidden_channels)
        outside_logit(border)
        if channels % channels_per_group:
            raise ValueError(f'channels_per_group must divide the channels, got {channels_per_group} of {channels}')
        groups = channels // channels_per_group
        self.stride = stride
        self.options: dict[str, Any] = dict(window=window, groups=groups, stride=stride, dilation=dilation,
                                            similarity=similarity, border=border)
        self.key = nn.Conv2d(channels, groups, 1)
        # Without a say in the logits it would get no gradient.
        self.query = nn.Conv2d(channels, groups, 1) if similarity != 'key' else None
        self.prior = nn.Sequential(
            nn.Conv2d(2, hidden_channels or groups, 1), nn.ReLU(), nn.Conv2d(hidden_channels or groups, groups, 1))
        self.out_conv = nn.Conv2d(channels, out_channels or channels, 1, bias=bias)
        offset = torch.arange(window, dtype=torch.get_default_dtype()) - window // 2
        if normalize_offsets and window > 1:
            offset = offset / (window // 2)
        down, right = torch.meshgrid(offset, offset, indexing='ij')
        self.register_buffer('offsets', torch.stack([right, down])[None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_conv(windowed_attention(*self._query_and_key(x), x, position=self._position(), **self.options))

    def _query_and_key(self, x: Tensor) -> tuple[Tensor, Tensor]:
        key, centres = self.key(x), x[..., ::self.stride, ::self.stride]
        return (self.query(centres) if self.query else key[..., ::self.stride, ::self.stride]), key

    def _position(self) -> Tensor:
        """The prior of every tap, (G, K^2)."""
        with no_autocast(self.offsets):
            return self.prior(self.offsets)[0].flatten(1)

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """The mean over the groups of the weights with which each point draws on the pixels.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column) in the output.

        Returns:
            (B, P, H, W), float32 or better. They sum to one, less what the positions beyond the border have.
        """
        query, key = self._query_and_key(x)
        point_indices(points, *query.shape[-2:])
        return windowed_weights(query, key, points, position=self._position(), **self.options)
