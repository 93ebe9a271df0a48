"""Interlaced sparse self-attention (ISA, Huang et al., 2019, https://arxiv.org/abs/1907.12273).

Official code: https://github.com/openseg-group/openseg.pytorch, lib/models/modules/isa_block.py.

The map is cut into cells of ``down_factor`` pixels, zero-padded to whole cells.

    z = act(norm(W attention(x)))        long range: among the pixels at the same place of their cells
    c = act(norm(W attention(z)))        short range: among the pixels of one cell
    y = act(norm(V [x, c]))              several factors: y = act(norm(V [act(norm(U x)), c_1, c_2, ...]))

    attention(x)_i = sum_j softmax_j(q_i . k_j / sqrt(D)) v_j

Shapes: B images, factor (h, w), R x L cells of h x w pixels, D = key_channels.

Differs from the official code: the Dropout2d(0.05) at its end is left to the head.
"""

from collections.abc import Sequence
from functools import partial
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.pixel_attention import softmax_attention, softmax_weights

from .layers import (
    LEAKY_RELU,
    ActLayer,
    BatchNorm,
    NormLayer,
    conv_norm_act,
    eval_mode,
    flatten_pixels,
    mean,
    point_indices,
)

Factor = tuple[int, int]

# What the query of a padded key's extra channel adds to its logit: float16 can hold it, and its exponential is zero.
MASK_LOGIT = -6e4


def to_groups(x: Tensor, factor: Factor, long_range: bool) -> Tensor:
    """(B, C, R h, L w) -> pixels that attend to each other.

    Long range (B h w, R L, C): those at the same place of their cells. Short range (B R L, h w, C): those of one cell.
    """
    height, width = factor
    x = x.unflatten(3, (-1, width)).unflatten(2, (-1, height))
    x = x.permute(0, 3, 5, 2, 4, 1) if long_range else x.permute(0, 2, 4, 3, 5, 1)
    return x.flatten(3, 4).flatten(0, 2)


def from_groups(groups: Tensor, like: Tensor, factor: Factor, long_range: bool) -> Tensor:
    """The inverse of :func:`to_groups`; ``like`` has the height and width."""
    height, width = factor
    rows, columns = like.shape[2] // height, like.shape[3] // width
    if long_range:
        x = groups.unflatten(1, (rows, columns)).unflatten(0, (-1, height, width)).permute(0, 5, 3, 1, 4, 2)
    else:
        x = groups.unflatten(1, (height, width)).unflatten(0, (-1, rows, columns)).permute(0, 5, 1, 3, 2, 4)
    return x.flatten(4, 5).flatten(2, 3)


def _parse_factors(down_factors: int | Sequence) -> list[Factor]:
    alone = isinstance(down_factors, int) or _is_pair(down_factors)
    factors = [down_factors] if alone else down_factors
    if isinstance(factors, Sequence) and factors:
        pairs = [(f, f) if isinstance(f, int) else f for f in factors]
        if all(_is_pair(pair) and min(pair) >= 1 for pair in pairs):
            return [(height, width) for height, width in pairs]
    raise ValueError(f'down_factors must be a factor or a sequence of factors, each a positive integer or a pair of '
                     f'them; got {down_factors!r}')


def _is_pair(value: object) -> TypeGuard[Sequence[int]]:
    return isinstance(value, Sequence) and len(value) == 2 and all(isinstance(v, int) for v in value)


class _GroupAttention(nn.Module):
    """Attention within the groups of one of the two ranges, projections included."""

    def __init__(self, channels: int, key_channels: int, value_channels: int, factor: Factor, long_range: bool,
                 value_bias: bool, norm_layer: NormLayer | None, act_layer: ActLayer | None):
        super().__init__()
        self.factor = factor
        self.long_range = long_range
        self.scale = key_channels**-0.5
        conv = partial(conv_norm_act, norm_layer=norm_layer, act_layer=act_layer)
        self.key = nn.Sequential(conv(channels, key_channels), conv(key_channels, key_channels))
        self.query = nn.Sequential(conv(channels, key_channels), conv(key_channels, key_channels))
        self.value = nn.Conv2d(channels, value_channels, 1, bias=value_bias)
        self.out_conv = conv(value_channels, channels)
        # A BatchNorm has the same statistics of the map as of all groups together, and is faster on the map.
        self.norms_each_group = norm_layer is not None and not isinstance(self.out_conv.norm, BatchNorm)

    def forward(self, x: Tensor, padded: Tensor | None) -> Tensor:
        return self._layer(self.out_conv, from_groups(self._attend(x, padded), x, self.factor, self.long_range))

    def _attend(self, x: Tensor, padded: Tensor | None) -> Tensor:
        query, key = self.query_and_key(x, padded)
        return softmax_attention(query, key, to_groups(self.value(x), self.factor, self.long_range), self.scale)

    def query_and_key(self, x: Tensor, padded: Tensor | None) -> tuple[Tensor, Tensor]:
        """Both in groups. ``padded`` (B, 1, R h, L w) is one where a key shall get no weight."""
        query, key = self._layer(self.query, x), self._layer(self.key, x)
        if padded is not None:
            query = torch.cat([query, torch.ones_like(padded, dtype=query.dtype)], dim=1)
            key = torch.cat([key, (MASK_LOGIT * padded).to(key.dtype)], dim=1)
        return to_groups(query, self.factor, self.long_range), to_groups(key, self.factor, self.long_range)

    def _layer(self, layer: nn.Module, x: Tensor) -> Tensor:
        """1 x 1 convolutions with norms that see each group as an image of its own, (B, C, H, W) -> (B, D, H, W)."""
        if not self.norms_each_group:
            return layer(x)
        groups = to_groups(x, self.factor, self.long_range).transpose(1, 2)[..., None]
        return from_groups(flatten_pixels(layer(groups)), x, self.factor, self.long_range)


class _InterlacedAttention(nn.Module):
    """Long-range and then short-range attention for one factor, (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, key_channels: int, value_channels: int, factor: Factor, value_bias: bool,
                 mask_padding: bool, norm_layer: NormLayer | None, act_layer: ActLayer | None):
        super().__init__()
        self.factor = factor
        self.mask_padding = mask_padding
        attention = partial(_GroupAttention, channels, key_channels, value_channels, factor, value_bias=value_bias,
                            norm_layer=norm_layer, act_layer=act_layer)
        self.long_range = attention(long_range=True)
        self.short_range = attention(long_range=False)

    def forward(self, x: Tensor) -> Tensor:
        padding = self._padding(x)
        padded = self._padded(x, padding)
        context = self.long_range(_pad(x, padding), padded)
        return _pad(self.short_range(context, padded), [-p for p in padding])

    def attention_map(self, x: Tensor, index: Tensor) -> Tensor:
        """``index`` (P,) into the flattened pixels -> (B, P, H, W)."""
        height, width = self.factor
        padding = self._padding(x)
        padded = self._padded(x, padding)
        row, column = index // x.shape[3] + padding[2], index % x.shape[3] + padding[0]
        x = F.pad(x, padding)
        rows, columns = x.shape[2] // height, x.shape[3] // width
        cell = row // height * columns + column // width
        place = row % height * width + column % width

        query, key = self.long_range.query_and_key(x, padded)
        long = softmax_weights(query[:, cell], key, self.long_range.scale)
        long = long.unflatten(0, (-1, height * width))
        query, key = (t.unflatten(0, (-1, rows * columns))[:, cell]
                      for t in self.short_range.query_and_key(self.long_range(x, padded), padded))
        query = query[:, torch.arange(len(place), device=x.device), place]
        short = softmax_weights(query.flatten(0, 1)[:, None], key.flatten(0, 1), self.short_range.scale)
        short = short.unflatten(0, query.shape[:2]).transpose(2, 3)

        weights = short * long.transpose(1, 2)
        weights = weights.unflatten(3, (rows, columns)).unflatten(2, (height, width))
        weights = weights.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3)
        return _pad(weights, [-p for p in padding])

    def _padding(self, x: Tensor) -> tuple[int, ...]:
        """Zeros to the left, right, top and bottom; an odd one goes right or to the bottom."""
        padding: list[int] = []
        for size, factor in zip(x.shape[:1:-1], self.factor[::-1], strict=True):
            missing = (size + factor - 1) // factor * factor - size
            padding += [missing // 2, missing - missing // 2]
        return tuple(padding)

    def _padded(self, x: Tensor, padding: tuple[int, ...]) -> Tensor | None:
        return 1 - F.pad(torch.ones_like(x[:, :1]), padding) if self.mask_padding else None


def _pad(x: Tensor, padding: Sequence[int]) -> Tensor:
    """Zeros around x, or, where negative, a crop."""
    # F.pad copies even where there is nothing to do. To ask a program with free sizes whether there is, or to slice
    # instead, would tie it to sizes that need padding, or to those that do not.
    return x if not torch.compiler.is_compiling() and not any(padding) else F.pad(x, padding)


class InterlacedSparseSelfAttention(nn.Module):
    """Every pixel draws on all others in two sparse steps, far ones first, and the result is merged with the input.

    Args:
        channels: channels of input and output.
        key_channels: width D of queries and keys; half of ``channels`` when not given.
        value_channels: width of the values; ``channels`` when not given.
        down_factors: height and width of the cells, a pair or one integer for both; or a sequence of these, whose
            contexts are concatenated. Two integers are one factor: two square ones are ``((8, 8), (4, 4))``.
        value_bias: a bias in the projection to values, as mmseg's ISAHead has it. The official code has none.
        mask_padding: give the zeros that fill up the cells no weight. In the official code and in mmseg they take part.
            They count in the statistics of the norms either way.
        norm_layer: channels -> module, after every convolution but those to values; None for biases instead. Those of
            the attention see each group of pixels as an image of its own, as in the official code and in mmseg, which
            matters to norms of single images such as GroupNorm.
        act_layer: () -> module, after every norm. The released model has LeakyReLU(0.01), from InPlaceABN; mmseg and
            the other norms of the official code have ReLU.

    Input and output are (B, channels, H, W). mmseg concatenates the context before the input: its last convolution has
    the two halves of its weight the other way round.

    ``torch.export`` with free sizes takes maps of two or more cells along each axis, declared as ``Dim.AUTO`` or as
    multiples of the factors.

    Raises:
        ValueError: ``down_factors`` is not a factor or a sequence of them, or a width is no positive integer.
    """

    def __init__(self, channels: int, *, key_channels: int | None = None, value_channels: int | None = None,
                 down_factors: int | Sequence = ((8, 8),), value_bias: bool = False, mask_padding: bool = False,
                 norm_layer: NormLayer | None = nn.BatchNorm2d, act_layer: ActLayer | None = LEAKY_RELU):
        super().__init__()
        check_positive(key_channels=key_channels, value_channels=value_channels)
        factors = _parse_factors(down_factors)
        self.stages: Sequence[_InterlacedAttention] = nn.ModuleList(  # type: ignore[assignment]  # it is not generic
            _InterlacedAttention(channels, key_channels or max(channels // 2, 1), value_channels or channels, factor,
                                 value_bias, mask_padding, norm_layer, act_layer) for factor in factors)
        conv = partial(conv_norm_act, norm_layer=norm_layer, act_layer=act_layer)
        width = len(factors) * channels
        self.up_conv = conv(channels, width) if len(factors) > 1 else nn.Identity()
        self.out_conv = conv(2 * width, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_conv(torch.cat([self.up_conv(x), *(stage(x) for stage in self.stages)], dim=1))

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """The point's short-range weights over its cell, times the long-range weights of each of these pixels.

        With several factors the mean over them. The weight of padding falls on no pixel, so the weights of a point sum
        to less than one where there is padding (and no ``mask_padding``).

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better.
        """
        index = point_indices(points, *x.shape[-2:]).to(x.device)
        with eval_mode(self):
            return mean(stage.attention_map(x, index) for stage in self.stages)
