"""Convolutional Block Attention Module (Woo et al., ECCV 2018, https://arxiv.org/abs/1807.06521).

Official code: https://github.com/Jongchan/attention-module, MODELS/cbam.py.

    y = x * sigmoid(sum_p MLP(pool_p(x)))               pools over all pixels, by default the mean and the maximum
    z = y * sigmoid(norm(conv7x7([max(y); mean(y)])))   over the channels

Differs from the official code: none. As in its networks the norm's weight starts at zero, so the second gate at 1/2.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.pixel_attention import float_or_better

from .layers import ActLayer, NormLayer, set_inplace, zero_init

POOLS = {
    'avg': lambda x: x.mean(dim=2),
    'max': lambda x: x.max(dim=2).values,
    # Of sums, as in the official code, not of means: they grow with the image.
    'lp': lambda x: torch.linalg.vector_norm(float_or_better(x), dim=2),
    'lse': lambda x: float_or_better(x).logsumexp(dim=2),
}
# The authors' momentum.
SLOW_NORM = partial(nn.BatchNorm2d, momentum=0.01)


class CBAM(nn.Module):
    """Scales every channel, then every pixel, by gates that the pooled input decides.

    Args:
        channels: channels of input and output.
        reduction: ``channels`` divided by the width of the hidden layer.
        pool_types: over the pixels, of 'avg', 'max', 'lp' (root of the sum of squares) and 'lse' (logarithm of the sum
            of exponentials).
        no_spatial: leave the gate of the pixels out.
        kernel_size: of the convolution before the gate of the pixels.
        norm_layer: channels -> module, after that convolution; None for a bias instead.
        act_layer: () -> module, in the MLP.
        identity_start: start as the identity, for a pretrained network: both gates are 2 sigmoid(.) of layers that
            start at zero. In the paper's networks they start near 1/2.

    Input and output are (B, channels, H, W).

    Raises:
        ValueError: an unknown pool, or none; an even ``kernel_size``.
    """

    def __init__(self, channels: int, *, reduction: int = 16, pool_types: Sequence[str] = ('avg', 'max'),
                 no_spatial: bool = False, kernel_size: int = 7, norm_layer: NormLayer | None = SLOW_NORM,
                 act_layer: ActLayer = nn.ReLU, identity_start: bool = False):
        super().__init__()
        check_positive(reduction=reduction, kernel_size=kernel_size)
        if not pool_types or not set(pool_types) <= POOLS.keys():
            raise ValueError(f'pool_types must be some of {tuple(POOLS)}, got {pool_types!r}')
        if kernel_size % 2 == 0:
            raise ValueError(f'kernel_size must be odd, got {kernel_size}')
        hidden = max(channels // reduction, 1)
        self.pool_types = tuple(pool_types)
        self.gate_scale = 2 if identity_start else 1
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.act = set_inplace(act_layer())
        self.fc2 = nn.Conv2d(hidden, channels, 1)
        self.has_spatial = not no_spatial
        if self.has_spatial:
            self.spatial_conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=norm_layer is None)
            self.spatial_norm = norm_layer(1) if norm_layer else nn.Identity()
        self.reset_parameters(identity_start)

    def reset_parameters(self, identity_start: bool) -> None:
        if identity_start:
            zero_init(self.fc2)
        if self.has_spatial:
            nn.init.kaiming_normal_(self.spatial_conv.weight, mode='fan_out')
            if getattr(self.spatial_norm, 'weight', None) is not None:
                zero_init(self.spatial_norm)
            elif identity_start:
                zero_init(self.spatial_conv)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.flatten(2)
        logits = [self._mlp(POOLS[name](pixels)[:, :, None, None]) for name in self.pool_types]
        x = x * self._gate(torch.stack(logits).sum(dim=0))
        if not self.has_spatial:
            return x
        maps = torch.stack([x.max(dim=1).values, x.mean(dim=1)], dim=1)
        return x * self._gate(self.spatial_norm(self.spatial_conv(maps)))

    def _mlp(self, pooled: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(pooled)))

    def _gate(self, logits: Tensor) -> Tensor:
        return self.gate_scale * logits.sigmoid()

    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        raise NotImplementedError('CBAM has no map over pixels: its gates scale every pixel by itself')
