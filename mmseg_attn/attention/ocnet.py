"""Object context (OCNet, Yuan and Wang, 2018, https://arxiv.org/abs/1809.00916).

Official code: https://github.com/openseg-group/OCNet.pytorch, oc_module/*.py and network/*.py; rewritten for the
journal version in https://github.com/openseg-group/openseg.pytorch, lib/models/modules/{base,asp}_oc_block.py, which is
'openseg' below.

    OC(x)_i = W sum_j softmax_j(k_i . k_j / sqrt(D)) v_j + b

    Base      y = fuse[sum_s OC_s(x), x]                                 s: max-pooled by s, then upsampled
    Pyramid   y = fuse[up(x), OC_1(x), OC_2(x), OC_3(x), OC_6(x)]        s: within each block of an s x s grid
    ASP       y = fuse[act(norm(conv OC(conv3x3 x))), conv1x1 x, conv3x3 x with three dilations]

``fuse``, ``up`` and the convolutions beside the context are followed by norm and activation. Queries are the keys;
openseg has separate ones. W and b start at zero.

Shapes: B images, D = key_channels.

Differs from the official code: the Dropout2d at its end is left to the head; a map smaller than a pool or than the grid
of blocks, where the official code fails, is pooled to one pixel or has blocks of one pixel.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_all_positive, check_positive
from mmseg_attn.ops.pixel_attention import float_or_better, softmax_attention, softmax_weights

from .layers import (
    LEAKY_RELU,
    ActLayer,
    NormLayer,
    conv_norm_act,
    eval_mode,
    flatten_pixels,
    interpolation_matrix,
    max_pool,
    mean,
    point_indices,
    unflatten_pixels,
    unpool_weights,
    zero_init,
)


def block_attention(query: Tensor, key: Tensor, value: Tensor, num_blocks: int, scale: float) -> Tensor:
    """Softmax attention within each block of a ``num_blocks`` x ``num_blocks`` grid.

    All blocks of an axis are equal but for the last, which takes the remainder. So at most four batches hold blocks of
    one size: the body, the last row, the last column and the corner.

    Args:
        query: (B, D, H, W).
        key: (B, D, H, W).
        value: (B, E, H, W).
        num_blocks: along each axis. Where there are fewer pixels every pixel is a block.
        scale: factor of the logits.

    Returns:
        (B, E, H, W).
    """
    height, width = query.shape[2:]
    rows = []
    for top, num_rows, block_height in _runs(height, num_blocks):
        row = []
        for left, num_columns, block_width in _runs(width, num_blocks):
            # Slices would tie an exported program to some sizes; negative padding does not.
            crop = (-left, left + num_columns * block_width - width, -top, top + num_rows * block_height - height)
            queries, keys, values = (_to_blocks(F.pad(t, crop), num_rows, num_columns) for t in (query, key, value))
            blocks = softmax_attention(queries, keys, values, scale)
            row.append(_from_blocks(blocks, num_rows, num_columns, block_height))
        rows.append(torch.cat(row, dim=3))
    return torch.cat(rows, dim=2)


def _runs(size: int, num_blocks: int) -> list[tuple[int, int, int]]:
    """Start, number and size of the equal blocks along an axis, and of the last one."""
    # Not min(), which an exported program would carry along as one more unknown size.
    num_blocks = num_blocks if num_blocks <= size else size
    step = size // num_blocks
    start = (num_blocks - 1) * step
    last = (start, 1, size - start)
    return [last] if num_blocks == 1 else [(0, num_blocks - 1, step), last]


def _to_blocks(x: Tensor, num_rows: int, num_columns: int) -> Tensor:
    """(B, C, R h, L w) -> (B R L, h w, C)."""
    x = x.unflatten(3, (num_columns, -1)).unflatten(2, (num_rows, -1)).permute(0, 2, 4, 3, 5, 1)
    return x.clone(memory_format=torch.contiguous_format).flatten(3, 4).flatten(0, 2)


def _from_blocks(blocks: Tensor, num_rows: int, num_columns: int, block_height: int) -> Tensor:
    """(B R L, h w, C) -> (B, C, R h, L w)."""
    x = blocks.unflatten(1, (block_height, -1)).unflatten(0, (-1, num_rows, num_columns)).permute(0, 5, 1, 3, 2, 4)
    return x.clone(memory_format=torch.contiguous_format).flatten(4, 5).flatten(2, 3)


class _SelfAttention(nn.Module):
    """Projections of an object context; the attention is a subclass's."""

    def __init__(self, channels: int, key_channels: int, value_channels: int, shared_query: bool,
                 norm_layer: NormLayer | None, act_layer: ActLayer | None):
        super().__init__()
        self.scale = key_channels**-0.5
        conv = partial(conv_norm_act, bias=True, norm_layer=norm_layer, act_layer=act_layer)
        if shared_query:
            self.key = conv(channels, key_channels)
            self.query = None
        else:
            self.key = nn.Sequential(conv(channels, key_channels), conv(key_channels, key_channels))
            self.query = nn.Sequential(conv(channels, key_channels), conv(key_channels, key_channels))
        self.value = nn.Conv2d(channels, value_channels, 1)
        self.out_conv = nn.Conv2d(value_channels, channels, 1)
        zero_init(self.out_conv)

    def query_and_key(self, x: Tensor) -> tuple[Tensor, Tensor]:
        key = self.key(x)
        return key if self.query is None else self.query(x), key


class _PooledAttention(_SelfAttention):
    """Attention among pixels max-pooled by ``size``, (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, *args, size: int):
        super().__init__(*args)
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        pooled = max_pool(x, self.size)
        query, key, value = (flatten_pixels(t) for t in (*self.query_and_key(pooled), self.value(pooled)))
        context = softmax_attention(query, key, value, self.scale)
        context = self.out_conv(unflatten_pixels(context, like=pooled))
        if self.size == 1:
            return context
        return F.interpolate(context, size=x.shape[2:], mode='bilinear', align_corners=True)

    def attention_map(self, x: Tensor, index: Tensor) -> Tensor:
        """``index`` (P,) into the flattened pixels -> (B, P, H, W)."""
        height, width = x.shape[2:]
        pooled = max_pool(x, self.size)
        rows, columns = pooled.shape[2:]
        query, key = (flatten_pixels(t) for t in self.query_and_key(pooled))
        # Interpolation mixes at most two rows and two columns of contexts.
        share_of_row, row = self._neighbours(index // width, rows, height, x)
        share_of_column, column = self._neighbours(index % width, columns, width, x)
        corners = row[:, :, None] * columns + column[:, None]
        shares = share_of_row[:, :, None] * share_of_column[:, None]
        weights = softmax_weights(query[:, corners.flatten()], key, self.scale)
        weights = (weights.unflatten(1, (len(index), -1)) * shares.flatten(1)[..., None]).sum(2)
        return unpool_weights(weights, self.size, height, width)

    @staticmethod
    def _neighbours(position: Tensor, pooled_size: int, size: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """Shares and indices, (P, 1 or 2) each, of the pooled pixels that make up those at ``position`` (P,)."""
        matrix = interpolation_matrix(pooled_size, size, True, float_or_better(like[:0]))
        return matrix[position].topk(min(2, pooled_size))


class _BlockAttention(_SelfAttention):
    """Attention within each block of a grid, (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, *args, num_blocks: int):
        super().__init__(*args)
        self.num_blocks = num_blocks

    def forward(self, x: Tensor) -> Tensor:
        query, key = self.query_and_key(x)
        return self.out_conv(block_attention(query, key, self.value(x), self.num_blocks, self.scale))

    def attention_map(self, x: Tensor, index: Tensor) -> Tensor:
        """``index`` (P,) into the flattened pixels -> (B, P, H, W)."""
        height, width = x.shape[2:]
        query, key = (flatten_pixels(t) for t in self.query_and_key(x))
        row, column = (self._block_of_each(size, x.device) for size in (height, width))
        block = (row[:, None] * self.num_blocks + column).flatten()
        with no_autocast(x):
            logits = self.scale * (float_or_better(query[:, index]) @ float_or_better(key).transpose(1, 2))
            weights = logits.masked_fill(block[index, None] != block, -torch.inf).softmax(2)
        return weights.unflatten(2, (height, width))

    def _block_of_each(self, size: int, device: torch.device) -> Tensor:
        num_blocks = min(self.num_blocks, size)
        return (torch.arange(size, device=device) // (size // num_blocks)).clamp(max=num_blocks - 1)


class BaseObjectContext(nn.Module):
    """Base-OC: one object context of all pixels, merged with the input.

    Args:
        channels: channels of input and output.
        key_channels: width D of queries and keys; half of ``channels`` when not given.
        value_channels: width of the values; ``key_channels`` when not given.
        sizes: one context for each, of the input max-pooled by this size, upsampled with aligned corners; their sum is
            the context.
        shared_query: queries are the keys, by one convolution with norm and activation. False: separate queries and
            keys by two of these each, as in openseg.
        norm_layer: channels -> module, after every convolution but those to values and out of the attention; None for
            none.
        act_layer: () -> module, after every norm. The official code has LeakyReLU(0.01), from InPlaceABN; openseg has
            ReLU with other norms.

    Input and output are (B, channels, H, W).

    Raises:
        ValueError: ``sizes`` is not a sequence of positive integers.
    """

    def __init__(self, channels: int, *, key_channels: int | None = None, value_channels: int | None = None,
                 sizes: Sequence[int] = (1,), shared_query: bool = True, norm_layer: NormLayer | None = nn.BatchNorm2d,
                 act_layer: ActLayer | None = LEAKY_RELU):
        super().__init__()
        check_all_positive(sizes=sizes)
        check_positive(key_channels=key_channels, value_channels=value_channels)
        key_channels = key_channels or max(channels // 2, 1)
        self.stages: Sequence[_PooledAttention] = nn.ModuleList(  # type: ignore[assignment]  # it is not generic
            _PooledAttention(channels, key_channels, value_channels or key_channels, shared_query, norm_layer,
                             act_layer, size=size) for size in sizes)
        self.out_conv = conv_norm_act(2 * channels, channels, bias=True, norm_layer=norm_layer, act_layer=act_layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_conv(torch.cat([sum(stage(x) for stage in self.stages), x], dim=1))

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """The weights of the values in the context at each point, the mean over ``sizes``.

        A pooled key's weight is shared equally among its pixels; pixels that the pooling drops have none. Between the
        pooled queries the weights are interpolated as the contexts are.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better.
        """
        index = point_indices(points, *x.shape[2:]).to(x.device)
        with eval_mode(self):
            return mean(stage.attention_map(x, index) for stage in self.stages)


class PyramidObjectContext(nn.Module):
    """Pyramid-OC: object contexts within the blocks of several grids, merged with the input.

    Args:
        channels: channels of input and output.
        key_channels: width D of queries and keys; half of ``channels`` when not given.
        value_channels: width of the values; ``channels`` when not given.
        scales: number of blocks along each axis, for each grid. An axis of fewer pixels has a block for each.
        shared_query: as in :class:`BaseObjectContext`. openseg has no Pyramid-OC.
        norm_layer: as in :class:`BaseObjectContext`.
        act_layer: as in :class:`BaseObjectContext`.

    Input and output are (B, channels, H, W).

    ``torch.export`` with free sizes takes maps with at least two pixels in a block along each axis: ``2 max(scales)``.

    Raises:
        ValueError: ``scales`` is not a sequence of positive integers.
    """

    def __init__(self, channels: int, *, key_channels: int | None = None, value_channels: int | None = None,
                 scales: Sequence[int] = (1, 2, 3, 6), shared_query: bool = True,
                 norm_layer: NormLayer | None = nn.BatchNorm2d, act_layer: ActLayer | None = LEAKY_RELU):
        super().__init__()
        check_all_positive(scales=scales)
        check_positive(key_channels=key_channels, value_channels=value_channels)
        self.stages: Sequence[_BlockAttention] = nn.ModuleList(  # type: ignore[assignment]  # it is not generic
            _BlockAttention(channels, key_channels or max(channels // 2, 1), value_channels or channels, shared_query,
                            norm_layer, act_layer, num_blocks=scale) for scale in scales)
        conv = partial(conv_norm_act, bias=True, norm_layer=norm_layer, act_layer=act_layer)
        width = len(scales) * channels
        self.up_conv = conv(channels, width)
        self.out_conv = conv(2 * width, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.out_conv(torch.cat([self.up_conv(x), *(stage(x) for stage in self.stages)], dim=1))

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """The weights of the values in the context at each point, the mean over ``scales``.

        Arguments and result are those of :meth:`BaseObjectContext.attention_map`.
        """
        index = point_indices(points, *x.shape[2:]).to(x.device)
        with eval_mode(self):
            return mean(stage.attention_map(x, index) for stage in self.stages)


class ASPObjectContext(nn.Module):
    """ASP-OC: an object context beside convolutions of several dilations (atrous spatial pyramid).

    Args:
        channels: channels of input and output.
        branch_channels: channels of each of the branches; half of ``channels`` when not given.
        key_channels: width D of queries and keys; half of ``branch_channels`` when not given.
        value_channels: width of the values; ``branch_channels`` when not given. openseg: half of it.
        size: the context is that of the branch max-pooled by this size, upsampled with aligned corners.
        dilations: of the 3 x 3 convolutions.
        shared_query: as in :class:`BaseObjectContext`.
        context_conv: a 1 x 1 convolution between the context and its norm. openseg has none.
        norm_layer: as in :class:`BaseObjectContext`; None leaves biases where there would be none.
        act_layer: as in :class:`BaseObjectContext`.

    Input and output are (B, channels, H, W).

    Raises:
        ValueError: ``size`` is not a positive integer, or ``dilations`` is not a sequence of such.
    """

    def __init__(self, channels: int, *, branch_channels: int | None = None, key_channels: int | None = None,
                 value_channels: int | None = None, size: int = 2, dilations: Sequence[int] = (12, 24, 36),
                 shared_query: bool = True, context_conv: bool = True,
                 norm_layer: NormLayer | None = nn.BatchNorm2d, act_layer: ActLayer | None = LEAKY_RELU):
        super().__init__()
        check_all_positive(dilations=dilations)
        check_positive(size=size, branch_channels=branch_channels, key_channels=key_channels,
                       value_channels=value_channels)
        width = branch_channels or max(channels // 2, 1)
        conv = partial(conv_norm_act, norm_layer=norm_layer, act_layer=act_layer)
        self.in_conv = conv(channels, width, 3, bias=True)
        self.context = _PooledAttention(width, key_channels or max(width // 2, 1), value_channels or width,
                                        shared_query, norm_layer, act_layer, size=size)
        self.context_conv = conv(width, width, bias=True) if context_conv else _norm_act(width, norm_layer, act_layer)
        self.convs = nn.ModuleList(
            [conv(channels, width), *(conv(channels, width, 3, dilation=dilation) for dilation in dilations)])
        self.out_conv = conv((2 + len(dilations)) * width, channels)

    def forward(self, x: Tensor) -> Tensor:
        context = self.context_conv(self.context(self.in_conv(x)))
        return self.out_conv(torch.cat([context, *(conv(x) for conv in self.convs)], dim=1))

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """The weights of the values in the branch of the object context, at each point.

        Arguments and result are those of :meth:`BaseObjectContext.attention_map`.
        """
        index = point_indices(points, *x.shape[2:]).to(x.device)
        with eval_mode(self):
            return self.context.attention_map(self.in_conv(x), index)


def _norm_act(channels: int, norm_layer: NormLayer | None, act_layer: ActLayer | None) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    if norm_layer is not None:
        layers['norm'] = norm_layer(channels)
    if act_layer is not None:
        layers['act'] = act_layer()
    return nn.Sequential(layers)
