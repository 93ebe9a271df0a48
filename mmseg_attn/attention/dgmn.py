"""Dynamic Graph Message Passing (DGMN, Zhang et al., CVPR 2020, https://arxiv.org/abs/1908.06955).

Official code: https://github.com/lzrobots/dgmn, maskrcnn_benchmark/layers/dynamic_weight.py and layers/dcn (detection;
the segmentation network was never released).

For every sampling rate d of ``rates``, pixel p and tap k of a 3 x 3 neighbourhood, with K = 9 taps and G groups:

    u_k  = bilinear sample of x at p + d tap_k + (W_offset x)_pk      zero outside the map
    f, a = sum_k W_k u_k                                              filters (G, K) and affinities (K)
    m    = sum_k softmax_k(a) f_gk u_k                                channel c belongs to group g
    y    = x + sum over rates of gamma_d m_d

That is the authors' rigorous form (ReDynamicWeightsCat33, with ``reduction`` ReDynamicWeightsCat11). In their faster
one (DynamicWeightsCat33, DynamicWeightsCat11) one convolution of x predicts offsets, filters and affinities,
``m = sum_k sigmoid(a_k) softmax_k(f_gk) u_k``, and ``[x, m_1 ... m_4]`` is fused by a 1 x 1 convolution.

Shapes: B images, C channels, N = H W pixels.

Differs from the official code:
    - the fourth rate takes its affinities from their own channels; as released (``released_fourth_rate=True``), from
      the filters of the last group;
    - the faster form's mode 'deform' works with more than one group;
    - there is no ``shuffle``, which permutes groups at random in training and which no config of theirs uses;
    - filters and affinities are sampled from W_k x, not computed from samples of x, which is the same number;
    - the samples of x, 9 N C numbers for every rate, are never stored.
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_attn.ops import determinism
from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_all_positive, check_positive
from mmseg_attn.ops.message_passing import bilinear_sample, pass_messages
from mmseg_attn.ops.pixel_attention import float_or_better

from .layers import ActLayer, NormLayer, conv_norm_act, eval_mode, point_indices

MODES = ('deformatt', 'deform', 'none')
TAPS = 9
GROUP_NORM = partial(nn.GroupNorm, 32)


def sampling_positions(offsets: Tensor, rate: int) -> Tensor:
    """Where the taps of a 3 x 3 kernel of dilation ``rate`` lie once moved by ``offsets``.

    Args:
        offsets: (B, 18, H, W) in pixels, (down, right) of tap 0, of tap 1, ...

    Returns:
        (B, 9, 2, H, W): row and column in pixels, which may lie outside the map.
    """
    height, width = offsets.shape[-2:]
    arange = partial(torch.arange, dtype=offsets.dtype, device=offsets.device)
    pixels = torch.stack([arange(height)[:, None].expand(height, width), arange(width).expand(height, width)])
    taps = torch.cartesian_prod(arange(-1, 2), arange(-1, 2)) * rate
    return offsets.unflatten(1, (TAPS, 2)) + taps[:, :, None, None] + pixels


def deformable_conv(x: Tensor, weight: Tensor, positions: Tensor) -> Tensor:
    """3 x 3 convolution ``weight`` of the samples of x at ``positions`` (B, 9, 2, H, W), in the dtype of ``positions``.

    The samples are never made: sampling and the 1 x 1 convolution of a tap commute, and what that gives is narrower.
    """
    per_tap = F.conv2d(x, weight.permute(2, 3, 0, 1).reshape(-1, weight.shape[1], 1, 1))
    with no_autocast(x):
        per_tap = per_tap.to(positions.dtype).unflatten(1, (TAPS, -1)).flatten(0, 1)
        places = positions.flatten(0, 1)
        if determinism.is_required(x):
            samples = pass_messages(per_tap, places[:, None], torch.ones_like(places[:, :1, None]))
        else:
            samples = bilinear_sample(per_tap, places)
        return samples.unflatten(0, (-1, TAPS)).sum(dim=1)


class DynamicGraphMessagePassing(nn.Module):
    """Every pixel draws on nine sampled positions per rate, with weights that the samples decide.

    Args:
        channels: channels of input and output.
        rates: dilations of the sampled 3 x 3 neighbourhoods.
        groups: groups of channels with filters of their own.
        mode: 'deformatt' has offsets, filters and affinities; 'deform' offsets, and filters that sum to one over the
            taps; 'none' such filters only, on the plain neighbourhood.
        rigorous: the form that the authors call rigorous; False for their faster one.
        reduction: pass messages in ``channels / reduction`` channels, between two 1 x 1 convolutions (4 in the authors'
            Cat11 classes); 1 for none.
        released_fourth_rate: the bug of the released code (see above), for its weights.
        norm_layer: channels -> module, after every 1 x 1 convolution; None for a bias instead.
        act_layer: () -> module, after every norm; None for none.

    Input and output are (B, channels, H, W). ``gamma`` holds one scale for each rate, in the official code
    gamma1 ... gamma4; the faster form has none. Positions and samples are float32 or better.

    Raises:
        ValueError: an unknown ``mode``; ``rates``, ``groups`` or ``reduction`` that do not fit;
            ``released_fourth_rate`` without four rates, in another mode than 'deformatt' or in the faster form.
    """

    def __init__(self, channels: int, *, rates: tuple[int, ...] = (1, 4, 8, 12), groups: int = 4,
                 mode: str = 'deformatt', rigorous: bool = True, reduction: int = 1, released_fourth_rate: bool = False,
                 norm_layer: NormLayer | None = GROUP_NORM, act_layer: ActLayer | None = nn.ReLU):
        super().__init__()
        if mode not in MODES:
            raise ValueError(f'mode must be one of {MODES}, got {mode!r}')
        check_all_positive(rates=rates)
        check_positive(groups=groups, reduction=reduction)
        if channels % (reduction * groups):
            raise ValueError(f'channels must be a multiple of reduction * groups, '
                             f'got channels={channels}, reduction={reduction}, groups={groups}')
        if released_fourth_rate and not (rigorous and mode == 'deformatt' and len(rates) == 4):
            raise ValueError("released_fourth_rate needs four rates, mode='deformatt' and rigorous=True, "
                             f'got rates={rates}, mode={mode!r}, rigorous={rigorous}')
        inner = channels // reduction
        conv = partial(conv_norm_act, norm_layer=norm_layer, act_layer=act_layer)
        self.rates = tuple(rates)
        self.groups = groups
        self.mode = mode
        self.rigorous = rigorous
        self.reduction = reduction
        self.released_fourth_rate = released_fourth_rate
        num_filters = groups * TAPS
        num_offsets = 2 * TAPS if mode != 'none' else 0
        num_affinities = TAPS if mode == 'deformatt' else 0

        def convs(width: int) -> Sequence[nn.Conv2d]:
            return nn.ModuleList(  # type: ignore[return-value]  # it is not generic
                nn.Conv2d(inner, width, 3, padding=d, dilation=d, bias=False) for d in self.rates)

        self.split = (num_filters, num_offsets, num_affinities)
        self.reduce = conv(channels, inner) if reduction > 1 else nn.Identity()
        if rigorous:
            if num_offsets:
                self.offset_convs = convs(num_offsets)
            self.filter_convs = convs(num_filters + num_affinities)
            self.gamma = nn.Parameter(torch.ones(len(self.rates)))
        else:
            self.dynamic_convs = convs(sum(self.split))
            # The authors' bottleneck has no bias before this norm, their plain form has one.
            self.fuse = conv((1 + len(self.rates)) * inner, inner, bias=reduction == 1)
        self.expand = conv(inner, channels) if reduction > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        features = self.reduce(x)
        values = float_or_better(features)
        messages = (pass_messages(values, *self._dynamics(features, index)) for index in range(len(self.rates)))
        if not self.rigorous:
            return x + self.expand(self.fuse(torch.cat([features, *(m.to(features.dtype) for m in messages)], dim=1)))
        out = self.expand((values + sum(messages)).to(features.dtype))
        return x + out if self.reduction > 1 else out

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Weights of the pixels in the messages that each point receives, summed over the rates.

        A tap's weight is filter times affinity, the mean over the groups, times the rate's ``gamma``; bilinear
        interpolation spreads it over up to four pixels. Weights may be negative. The faster form has no sum over the
        rates (a convolution fuses them); its map is the sum of the rates' own. With ``reduction`` the pixels are those
        of the reduced features. In training mode the norms work as in evaluation.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better.
        """
        height, width = x.shape[-2:]
        index = point_indices(points, height, width).to(x.device)
        with eval_mode(self):
            features = self.reduce(x)
            dynamics = [self._dynamics(features, i) for i in range(len(self.rates))]
        out = float_or_better(features).new_zeros(len(x), len(index), height, width)
        with no_autocast(x):
            for positions, weights in dynamics:
                row, column = positions.flatten(3)[..., index].unbind(2)
                weights = weights.flatten(3)[..., index].mean(dim=1)
                rows, columns = _linear_weights(row, height), _linear_weights(column, width)
                out = out + torch.einsum('bkp,bkph,bkpw->bphw', weights, rows, columns)
        return out

    def _dynamics(self, x: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Positions (B, 9, 2, H, W) and weights (B, G, 9, H, W) of the taps of one rate, in float32 or better."""
        rate = self.rates[index]
        num_filters, num_offsets, num_affinities = self.split
        with no_autocast(x):
            values = float_or_better(x)
            if not self.rigorous:
                dynamic = _dilated_conv(values, self.dynamic_convs[index].weight, rate)
                filters, offsets, affinity = dynamic.split(self.split, dim=1)
            elif num_offsets:
                offsets = _dilated_conv(values, self.offset_convs[index].weight, rate)
            if not num_offsets:
                offsets = values.new_zeros(x.shape[0], 2 * TAPS, *x.shape[-2:])
            positions = sampling_positions(offsets, rate)
        if self.rigorous:
            dynamic = deformable_conv(x, self.filter_convs[index].weight, positions)
            filters, affinity = dynamic.split((num_filters, num_affinities), dim=1)
        filters = filters.unflatten(1, (self.groups, TAPS))
        if self.released_fourth_rate and index == 3:
            affinity = filters[:, -1]
        if self.mode != 'deformatt':
            weights = filters.softmax(dim=2)
        elif self.rigorous:
            weights = filters * affinity.softmax(dim=1)[:, None]
        else:
            weights = filters.softmax(dim=2) * affinity.sigmoid()[:, None]
        return positions, weights * self.gamma[index] if self.rigorous else weights


def _dilated_conv(x: Tensor, weight: Tensor, rate: int) -> Tensor:
    return F.conv2d(x, weight.to(x.dtype), padding=rate, dilation=rate)


def _linear_weights(position: Tensor, size: int) -> Tensor:
    """(...) -> (..., size): the weights of the pixels of one side in linear interpolation at ``position``."""
    pixels = torch.arange(size, dtype=position.dtype, device=position.device)
    return (1 - (position[..., None] - pixels).abs()).clamp(min=0)
