"""Position and channel attention (DANet, Fu et al., CVPR 2019, https://arxiv.org/abs/1809.02983).

Official code: https://github.com/junfu1115/DANet, encoding/nn/da_att.py.

    position:   y_i = gamma sum_j softmax_j(q_i . k_j) v_j + x_i                        i, j pixels
    channel:    y_a = gamma sum_c softmax_c(max_c'(E_ac') - E_ac) x_c + x_a,  E = x x^T   a, c channels

The channel attention is not the paper's softmax(E): a channel draws on those it is *least* like. The authors confirm
that this is meant (issues 9 and 48 of the official code).

Shapes: B images, C channels, N = H W pixels, D = key_channels.

Differs from the official code: none.
"""

import torch
from torch import Tensor, nn

from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.pixel_attention import float_or_better, softmax_attention, softmax_weights

from .layers import flatten_pixels, pixel_linear, point_indices


def channel_weights(x: Tensor) -> Tensor:
    """Features (B, C, N) -> (B, C, C) in float32 or better: how much each channel draws on every channel."""
    # The Gram matrix grows with N: to thousands, where half precision has steps of 1 and more, or overflows.
    with no_autocast(x):
        energy = _Gram.apply(float_or_better(x))
        return (energy.amax(dim=2, keepdim=True) - energy).softmax(dim=2)


class _Gram(torch.autograd.Function):
    """``x x^T``, whose gradient ``(g + g^T) x`` is one product where autograd, which sees two factors, takes two."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x @ x.transpose(1, 2)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        x, = ctx.saved_tensors
        return (grad + grad.transpose(1, 2)) @ x


class PositionAttention(nn.Module):
    """Every pixel draws on every other by the similarity of the two.

    Args:
        channels: channels of input and output.
        key_channels: width D of queries and keys; an eighth of ``channels`` (at least 1) when not given.

    Input and output are (B, channels, H, W). The learned weight ``gamma`` starts at zero, the block as the identity.
    """

    def __init__(self, channels: int, *, key_channels: int | None = None):
        super().__init__()
        check_positive(key_channels=key_channels)
        key_channels = key_channels or max(channels // 8, 1)
        self.query = nn.Conv2d(channels, key_channels, 1)
        self.key = nn.Conv2d(channels, key_channels, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (pixel_linear(conv, x) for conv in (self.query, self.key, self.value))
        context = softmax_attention(query, key, value)
        return torch.addcmul(x, self.gamma, context.transpose(1, 2).unflatten(2, x.shape[-2:]))

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Weights of the values in the sum at each point, before ``gamma`` and the identity.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better; sums to one over the pixels.
        """
        height, width = x.shape[-2:]
        index = point_indices(points, height, width).to(x.device)
        query, key = flatten_pixels(self.query(x))[:, index], flatten_pixels(self.key(x))
        return softmax_weights(query, key).unflatten(2, (height, width))


class ChannelAttention(nn.Module):
    """Every channel draws on every other by how little the two are alike. No parameters but ``gamma``.

    Args:
        channels: channels of input and output.

    Input and output are (B, channels, H, W). The learned weight ``gamma`` starts at zero, the block as the identity.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        features = x.flatten(2)
        context = channel_weights(features).to(x.dtype) @ features
        return torch.addcmul(x, self.gamma, context.unflatten(2, x.shape[-2:]))

    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        raise NotImplementedError(
            'channel attention has no map over pixels: its weights are between channels, one C x C map for all pixels '
            '(mmseg_attn.attention.danet.channel_weights)')

    def extra_repr(self) -> str:
        return f'channels={self.channels}'
