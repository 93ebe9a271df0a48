"""Point-wise spatial attention (PSANet, Zhao et al., ECCV 2018, https://hszhao.github.io/projects/psanet).

Official code: https://github.com/hszhao/semseg, model/psanet.py and lib/psa (PyTorch);
https://github.com/hszhao/PSANet (Caffe).

Every pixel i predicts, from its own features, one logit m_i(d) for each relative position d of a mask.

    collect      y_i = sum_j softmax_j(m_i(j - i)) x_j         i says from where it collects
    distribute   y_j = sum_i softmax_i(m_i(j - i)) x_i         i says where to it distributes
    z = act(norm(W [collect, distribute]))

A position outside the mask has the logit 0, and takes part. All this happens on a map shrunk by ``shrink_factor``.

Shapes: B images, N = H W pixels of the shrunk map, D = mid_channels, M = mask_h mask_w.

Differs from the official code: it takes maps of any size (the official code needs odd ones).
"""

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_all_positive, check_positive
from mmseg_attn.ops.pixel_attention import float_or_better
from mmseg_attn.ops.psa import point_attention

from .layers import ActLayer, NormLayer, conv_norm_act, eval_mode, interpolation_matrix, point_indices

PSA_TYPES = ('collect', 'distribute', 'bi-direction')


class _Branch(nn.Module):
    """What one direction needs: reduced features and the logits they predict."""

    def __init__(self, channels: int, mid_channels: int, mask_size: Sequence[int], norm_layer: NormLayer | None,
                 act_layer: ActLayer | None):
        super().__init__()
        conv = partial(conv_norm_act, norm_layer=norm_layer, act_layer=act_layer)
        self.reduce = conv(channels, mid_channels)
        self.attention = conv(mid_channels, mid_channels)
        self.mask = nn.Conv2d(mid_channels, mask_size[0] * mask_size[1], 1, bias=False)


class PointwiseSpatialAttention(nn.Module):
    """Every pixel collects from all pixels and distributes to all pixels, as it predicts from itself alone.

    Args:
        channels: channels of input and output.
        mask_size: rows and columns of the mask, odd; (2 h - 1, 2 w - 1) reaches everywhere in a shrunk map of h x w
            pixels. With ``compact`` the size (h, w) of the only shrunk map that fits.
        mid_channels: channels D of the attention; a quarter of ``channels`` when not given, as in the paper.
        psa_type: 'collect', 'distribute' or 'bi-direction' for both.
        compact: predict one logit for each absolute instead of each relative position. Only for one size of map.
            (mmseg's PSAHead exchanges collect and distribute here when only one of them is used.)
        shrink_factor: the attention works on a map smaller by this factor; 1 for none.
        normalization_factor: divides the result; None for the number of mask positions.
        psa_softmax: normalise the logits; without, they are the weights.
        mmseg_compatible: as in mmseg's PSAHead, whose published weights need it: zeros around the map before ``proj``,
            a shrunk size that is rounded down unless both sides leave a rest, ``align_corners`` following it, and even
            mask sizes.
        align_corners: of the last resize in the one case of ``mmseg_compatible`` without shrinking.
        norm_layer: channels -> module, after each convolution but those of the masks; None for biases instead.
        act_layer: () -> module, after each norm; None for none.

    Input and output are (B, channels, H, W).

    Raises:
        ValueError: an unknown ``psa_type``, a ``mask_size`` that is even or below 1, a ``shrink_factor`` below 1; in
            the forward, a map that does not fit a compact mask.
    """

    def __init__(self, channels: int, *, mask_size: int | Sequence[int], mid_channels: int | None = None,
                 psa_type: str = 'bi-direction', compact: bool = False, shrink_factor: int = 2,
                 normalization_factor: float | None = 1.0, psa_softmax: bool = True, mmseg_compatible: bool = False,
                 align_corners: bool = True, norm_layer: NormLayer | None = nn.BatchNorm2d,
                 act_layer: ActLayer | None = nn.ReLU):
        super().__init__()
        mask_size = (mask_size, mask_size) if isinstance(mask_size, int) else mask_size
        if psa_type not in PSA_TYPES:
            raise ValueError(f'psa_type must be one of {PSA_TYPES}, got {psa_type!r}')
        check_all_positive(mask_size=mask_size)
        check_positive(shrink_factor=shrink_factor, mid_channels=mid_channels)
        if len(mask_size) != 2:
            raise ValueError(f'mask_size must be two numbers, rows and columns, got {mask_size}')
        if not compact and not mmseg_compatible and (mask_size[0] % 2 == 0 or mask_size[1] % 2 == 0):
            raise ValueError(f'mask_size must be odd to have a centre, got {mask_size}; '
                             'mmseg_compatible=True takes even ones, as mmseg does')
        if normalization_factor == 0:
            raise ValueError('normalization_factor must not be 0; None stands for the number of mask positions')
        mid_channels = mid_channels or max(channels // 4, 1)
        self.mask_size = mask_size[0], mask_size[1]
        self.compact = compact
        self.shrink_factor = shrink_factor
        self.normalization_factor = normalization_factor or mask_size[0] * mask_size[1]
        self.psa_softmax = psa_softmax
        self.mmseg_compatible = mmseg_compatible
        self.align_corners = align_corners
        self.directions = PSA_TYPES[:2] if psa_type == 'bi-direction' else (psa_type, )
        for direction in self.directions:
            self.add_module(direction, _Branch(channels, mid_channels, mask_size, norm_layer, act_layer))
        self.proj = conv_norm_act(len(self.directions) * mid_channels, channels, norm_layer=norm_layer,
                                  act_layer=act_layer)

    def forward(self, x: Tensor) -> Tensor:
        *_, align_corners = self._shrunk_size(*x.shape[-2:])
        out = torch.cat([self._attend(x, direction) for direction in self.directions], dim=1)
        if self.mmseg_compatible:
            out = F.pad(out, (1, 1, 1, 1))
        out = self.proj(out)
        # The sizes themselves are no condition that an exported program with free sizes could hold.
        if self.shrink_factor == 1 and not self.mmseg_compatible:
            return out
        return F.interpolate(out, x.shape[-2:], mode='bilinear', align_corners=align_corners)

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Weights of the pixels' reduced features in the sum at each point, over the shrinking and the enlarging.

        Of the two directions of 'bi-direction' the mean.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better. Without ``psa_softmax`` they may be negative.
        """
        size = x.shape[-2:]
        point_indices(points, *size)
        height, width, align_corners = self._shrunk_size(*size)
        # What the point's row and column draw on in the shrunk map, and what that draws on in the map.
        enlarge, shrink = zip(*(self._resizing(full, small, align_corners, x) for full, small in
                                zip(size, (height, width), strict=True)), strict=True)
        maps = []
        with eval_mode(self):
            features = [self._predictors(x, direction)[1] for direction in self.directions]
        with no_autocast(x):
            for row, column in points.tolist():
                shares = torch.outer(enlarge[0][row], enlarge[1][column])
                receivers = shares.nonzero()
                weights = x.new_zeros(len(x), height, width, dtype=shares.dtype)
                for direction, feature in zip(self.directions, features, strict=True):
                    rows = self._weights_of(receivers, float_or_better(feature), direction)
                    weights = weights + torch.einsum('r,brhw->bhw', shares[tuple(receivers.T)], rows)
                maps.append(shrink[0].T @ (weights / len(self.directions)) @ shrink[1])
        return torch.stack(maps, dim=1)

    def _shrunk_size(self, height: int, width: int) -> tuple[int, int, bool]:
        factor = self.shrink_factor
        if factor == 1:
            size, align_corners = (height, width), self.align_corners or not self.mmseg_compatible
        elif self.mmseg_compatible and not (height % factor and width % factor):
            size, align_corners = (max(height // factor, 1), max(width // factor, 1)), False
        else:
            size, align_corners = ((height - 1) // factor + 1, (width - 1) // factor + 1), True
        if self.compact and size != self.mask_size:
            raise ValueError(f'a compact mask of {self.mask_size} fits shrunk maps of that size only, '
                             f'got {size} from {height} x {width} pixels')
        return *size, align_corners

    def _branch(self, direction: str) -> _Branch:
        return getattr(self, direction)

    def _predictors(self, x: Tensor, direction: str) -> tuple[Tensor, Tensor]:
        """Shrunk features (B, D, h, w): the reduced ones, and those the logits are predicted from."""
        branch = self._branch(direction)
        height, width, align_corners = self._shrunk_size(*x.shape[-2:])
        reduced = branch.reduce(x)
        if self.shrink_factor != 1:
            reduced = F.interpolate(reduced, (height, width), mode='bilinear', align_corners=align_corners)
        return reduced, branch.attention(reduced)

    def _attend(self, x: Tensor, direction: str) -> Tensor:
        """(B, D, h, w) of the shrunk map."""
        reduced, feature = self._predictors(x, direction)
        mask = self._branch(direction).mask.weight.flatten(1)
        out = point_attention(feature, mask, reduced, None if self.compact else self.mask_size, direction == 'collect',
                              self.psa_softmax)
        return out if self.normalization_factor == 1 else out / self.normalization_factor

    def _weights_of(self, receivers: Tensor, feature: Tensor, direction: str) -> Tensor:
        """Weights (B, R, h, w) of all sources for receivers (R, 2) of the shrunk map, without the whole map."""
        height, width = feature.shape[-2:]
        rows = torch.arange(height, device=feature.device)[:, None]
        columns = torch.arange(width, device=feature.device)[None, :]
        weight = float_or_better(self._branch(direction).mask.weight.flatten(1))
        collect = direction == 'collect'
        out = [feature.new_zeros(len(feature), 0, height, width)]
        for row, column in receivers.tolist():
            predictors = feature[:, :, row, column] if collect else feature
            if self.compact:
                channel = rows * width + columns if collect else torch.full_like(rows + columns, row * width + column)
                inside = torch.ones_like(channel, dtype=torch.bool)
            else:
                down, right = (rows - row, columns - column) if collect else (row - rows, column - columns)
                down, right = down + (self.mask_size[0] - 1) // 2, right + (self.mask_size[1] - 1) // 2
                inside = (down >= 0) & (down < self.mask_size[0]) & (right >= 0) & (right < self.mask_size[1])
                channel = torch.where(inside, down * self.mask_size[1] + right, 0)
            # (h, w, D): the weights that predict the logit of this receiver and each source.
            selected = weight[channel] * inside[..., None]
            logits = torch.einsum('bd,hwd->bhw' if collect else 'bdhw,hwd->bhw', predictors, selected)
            weights = logits.flatten(1).softmax(1).view_as(logits) if self.psa_softmax else logits
            out.append(weights[:, None] / self.normalization_factor)
        return torch.cat(out, dim=1)

    def _resizing(self, full: int, small: int, align_corners: bool, like: Tensor) -> tuple[Tensor, Tensor]:
        """Along one axis: what enlarging (full, small) and shrinking (small, full) multiply with."""
        like = float_or_better(like[0, 0, 0, :1])
        if self.mmseg_compatible:
            enlarge = interpolation_matrix(small + 2, full, align_corners, like)[:, 1:-1]
        else:
            enlarge = interpolation_matrix(small, full, align_corners, like)
        return enlarge, interpolation_matrix(full, small, align_corners, like)
