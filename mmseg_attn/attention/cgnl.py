"""Compact generalized non-local block (CGNL, Yue et al., NeurIPS 2018, https://arxiv.org/abs/1810.13125).

Official code: https://github.com/KaiyuYue/cgnl-network.pytorch, model/resnet.py (SpatialCGNL: 'dot_product' here,
SpatialCGNLx: 'rbf').

    y_ic  = sum_j sum_d f(t_ic, p_jd) g_jd                 d: the channels in the group of c
    f     = t p                                            'dot_product'
    f     = sum_q exp(-2 gamma) (2 gamma t p)^q / q!       'rbf': Taylor series of exp(-gamma (t - p)^2), t² = p² = 1
    out_i = x_i + norm(W y_i)                              W: a convolution in the same groups

Every channel of every pixel draws on every channel of every pixel, within groups of channels. The sum is computed as
``y_ic = sum_q a_q t_ic^q (sum_j sum_d p_jd^q g_jd)``: one number per image, group and power q.

Shapes: B images, G = num_groups, D = key_channels, N = H W pixels, Q powers.

Differs from the official code:
    - what follows the projections t, p and g is float32 or better until the end of the norm;
    - the norm may be another one, or none;
    - ``key_channels`` and ``num_groups`` have to be given in the official code; here they are those of its networks.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.pixel_attention import float_or_better

from .layers import NormLayer, point_indices, zero_init

KERNELS = ('dot_product', 'rbf')
RBF_GAMMA = 1e-4


def kernel_coefficients(kernel: str, order: int) -> dict[int, float]:
    """``a_q`` by power ``q``, of ``f(t, p) = sum_q a_q (t p)^q``."""
    if kernel == 'dot_product':
        return {1: 1.0}
    return {q: math.exp(-2 * RBF_GAMMA) * (2 * RBF_GAMMA)**q / math.factorial(q) for q in range(order + 1)}


def compact_attention(query: Tensor, key: Tensor, value: Tensor, num_groups: int, coefficients: Mapping[int, float],
                      use_scale: bool = False) -> Tensor:
    """The generalized attention of every channel of every pixel: O(N D Q).

    Args:
        query, key, value: t, p and g, (B, D, N).
        num_groups: channels draw on those of their own group, D / num_groups neighbours.
        coefficients: power -> factor, as :func:`kernel_coefficients` gives them.
        use_scale: divide by the square root of the number of terms in the sum.

    Returns:
        (B, D, N), float32 or better.
    """
    with no_autocast(query):
        factors = pixel_terms(key, value, num_groups, coefficients, use_scale).sum(dim=3)
        query = float_or_better(query).unflatten(1, (num_groups, -1))
        context = sum(factor[..., None, None] * _power(query, q)
                      for q, factor in zip(coefficients, factors.unbind(1), strict=True))
        assert isinstance(context, Tensor)
        return context.flatten(1, 2)


def pixel_terms(key: Tensor, value: Tensor, num_groups: int, coefficients: Mapping[int, float],
                use_scale: bool = False) -> Tensor:
    """(B, Q, G, N): pixel j's part ``a_q sum_d p_jd^q g_jd`` in the sum over all pixels, in float32 or better.

    The sum grows with the image, and half precision may overflow in it.
    """
    with no_autocast(key):
        key, value = float_or_better(key), float_or_better(value)
        terms = [a * (_power(key, q) * value).unflatten(1, (num_groups, -1)).sum(dim=2)
                 for q, a in coefficients.items()]
        out = torch.stack(terms, dim=1)
        return out / (key.shape[1] // num_groups * key.shape[2])**0.5 if use_scale else out


def _power(x: Tensor, exponent: int) -> Tensor:
    return x if exponent == 1 else x**exponent


class CompactGeneralizedNonLocal(nn.Module):
    """Attention between all channels of all pixels within groups of channels, at a cost linear in both.

    With the authors' norm, the result of 'dot_product' depends on the sum over the pixels through its sign alone:
    within a group the sum is one factor, which GroupNorm of the same groups divides out. Another ``norm_layer`` or
    None keeps it (docs/methods/cgnl.md has the measurement).

    Args:
        channels: channels of input and output.
        key_channels: width D of the projections; half of ``channels`` when not given.
        num_groups: number of groups of channels. It must divide ``channels`` and ``key_channels``.
        kernel: 'dot_product' (CGNL) or 'rbf' (CGNLx), a Gaussian by its Taylor series.
        order: the highest power of that series. The authors' networks have 3, their class has 2 by default.
        use_scale: divide the sum by the square root of the number of its terms, which keeps it smaller where the norm
            does not. The authors' networks do not.
        norm_layer: channels -> module, after the last convolution; None for none; 'group', the authors', for GroupNorm
            of ``num_groups`` groups.
        zero_init: start as the identity, by zeros in weight and bias of the norm (of the last convolution where it has
            none), as the authors' networks do.

    Input and output are (B, channels, H, W).

    Raises:
        ValueError: an unknown ``kernel`` or ``norm_layer``, a number below 1, or a ``num_groups`` that does not divide
            the channels.
    """

    def __init__(self, channels: int, *, key_channels: int | None = None, num_groups: int = 8,
                 kernel: str = 'dot_product', order: int = 3, use_scale: bool = False,
                 norm_layer: NormLayer | Literal['group'] | None = 'group', zero_init: bool = True):
        super().__init__()
        check_positive(key_channels=key_channels, num_groups=num_groups, order=order)
        if kernel not in KERNELS:
            raise ValueError(f'kernel must be one of {KERNELS}, got {kernel!r}')
        if key_channels is None:
            key_channels = max(channels // 2, 1)
        if channels % num_groups or key_channels % num_groups:
            raise ValueError(f'num_groups={num_groups} must divide channels={channels} and key_channels={key_channels}')
        self.num_groups = num_groups
        self.coefficients = kernel_coefficients(kernel, order)
        self.use_scale = use_scale
        self.zero_init = zero_init
        self.query, self.key, self.value = (nn.Conv2d(channels, key_channels, 1, bias=False) for _ in range(3))
        self.out_conv = nn.Conv2d(key_channels, channels, 1, groups=num_groups, bias=norm_layer is None)
        self.norm = self._build_norm(norm_layer, channels)
        self.reset_parameters()

    def _build_norm(self, norm_layer: NormLayer | str | None, channels: int) -> nn.Module:
        if norm_layer is None:
            return nn.Identity()
        if norm_layer == 'group':
            return nn.GroupNorm(self.num_groups, channels)
        if isinstance(norm_layer, str):
            raise ValueError(f"norm_layer must be 'group', None or a function of the channels, got {norm_layer!r}")
        return norm_layer(channels)

    def reset_parameters(self) -> None:
        for conv in (self.query, self.key, self.value, self.out_conv):
            nn.init.normal_(conv.weight, std=0.01)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        if self.zero_init:
            has_weight = getattr(self.norm, 'weight', None) is not None
            zero_init(self.norm if has_weight else self.out_conv)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (conv(x).flatten(2) for conv in (self.query, self.key, self.value))
        context = compact_attention(query, key, value, self.num_groups, self.coefficients, self.use_scale)
        with no_autocast(x):
            context = self.out_conv(context.unflatten(2, x.shape[-2:]).to(self.out_conv.weight.dtype))
            return x + self.norm(context).to(x.dtype)

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Which part of the context's mean absolute value ``mean_c |y_ic|`` at each point comes from each pixel.

        ``y_ic`` is a sum of parts ``k_jic`` of all pixels j. The weight of pixel j is ``mean_c sign(y_ic) k_jic``. This
        is the context before the last convolution and the norm; of the sum over the pixels, that of 'dot_product' with
        GroupNorm keeps the sign alone.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better. Weights have either sign; those of a point sum to ``mean_c |y_ic|``.
        """
        height, width = x.shape[-2:]
        index = point_indices(points, height, width).to(x.device)
        key, value = (conv(x).flatten(2) for conv in (self.key, self.value))
        query = float_or_better(self.query(x).flatten(2)[:, :, index])
        with no_autocast(x):
            terms = pixel_terms(key, value, self.num_groups, self.coefficients, self.use_scale)
            powers = torch.stack([_power(query, q) for q in self.coefficients], dim=1)
            powers = powers.unflatten(2, (self.num_groups, -1))  # (B, Q, G, D / G, P)
            context = (terms.sum(dim=3)[..., None, None] * powers).sum(dim=1, keepdim=True)
            signed = (context.sign() * powers).sum(dim=3) / query.shape[1]
            weights = signed.flatten(1, 2).transpose(1, 2) @ terms.flatten(1, 2)
        return weights.unflatten(2, (height, width))
