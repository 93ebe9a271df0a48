"""Double attention (A2-Nets, Chen et al., NeurIPS 2018, https://arxiv.org/abs/1810.11579).

The authors released no code. Consulted: https://github.com/nguyenvo09/Double-Attention-Network,
double_attention_layer.py (the paper's block; 'add' here), and https://github.com/donnyyou/openseg.pytorch at a3939e2,
lib/models/modules/a2_block.py (the only public use in segmentation; 'cat' here).

    S = softmax_N(theta(x))    V = softmax_n(rho(x))    G = phi(x) S^T    Z = G V

    add    y = x + norm(W Z)                   theta, rho, phi: 1x1 convolutions
    cat    y = act(norm(W' [W Z, x]))          theta, rho: (conv1x1, norm, act) twice

Shapes: N = H W pixels, m = value_channels, n = num_maps.

Differs from the consulted code:
    - the layer of Double-Attention-Network returns W Z; the sum with x and the norm are added here, and the block
      starts as the identity (``norm_layer=None, zero_init=False`` leaves only the sum);
    - openseg's Dropout2d at the end is the head's (``dropout_ratio=0.05``).
"""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.pixel_attention import float_or_better

from .layers import (
    ActLayer,
    NormLayer,
    conv_norm_act,
    eval_mode,
    interpolation_matrix,
    max_pool,
    point_indices,
    unpool_weights,
    zero_init,
)

FUSIONS = ('add', 'cat')


def double_attention(values: Tensor, gather_logits: Tensor, distribute_logits: Tensor) -> Tensor:
    """Gathers the values into n descriptors of the image and hands them out to the pixels: O(N m n).

    Args:
        values: (B, m, N).
        gather_logits: (B, n, N). Their softmax over the pixels makes the descriptors.
        distribute_logits: (B, n, N). Their softmax over the n maps says what a pixel gets.

    Returns:
        (B, m, N).
    """
    maps, vectors = attention_weights(gather_logits, distribute_logits)
    # The maps are of the order 1 / N, where half precision has few digits left.
    with no_autocast(values):
        descriptors = float_or_better(values) @ maps.transpose(1, 2)
        return (descriptors @ vectors).to(values.dtype)


def attention_weights(gather_logits: Tensor, distribute_logits: Tensor) -> tuple[Tensor, Tensor]:
    """The attention maps S and attention vectors V, both (B, n, N), in float32 or better."""
    return float_or_better(gather_logits).softmax(dim=2), float_or_better(distribute_logits).softmax(dim=1)


def _two_convs(in_channels: int, channels: int, norm_layer: NormLayer | None,
               act_layer: ActLayer | None) -> nn.Sequential:
    conv = partial(conv_norm_act, bias=True, norm_layer=norm_layer, act_layer=act_layer)
    return nn.Sequential(conv(in_channels, channels), conv(channels, channels))


class DoubleAttention(nn.Module):
    """Every pixel receives a mixture of global descriptors, each gathered from the whole image by an attention map.

    Args:
        channels: channels of input and output.
        value_channels: width m of the descriptors; when not given, a quarter of ``channels`` for 'add', half for 'cat'.
        num_maps: number n of descriptors; a quarter of ``channels`` when not given. openseg had 32 with 512 channels,
            and 128 a day later.
        fusion: how the result joins the input: 'add', the residual block of the paper, or 'cat', openseg's module,
            which concatenates, and whose attention logits come from two convolutions with norm and activation each.
        scale: max-pool the input by this factor and interpolate the result back (``align_corners=True``), as openseg
            can.
        norm_layer: channels -> module, after the convolutions named above; None for none.
        act_layer: () -> module, the activation of 'cat'; None for none.
        zero_init: start with a result of zero, by a zero weight of the norm of 'add' (of the last convolution of the
            attention where there is no such weight, and with 'cat', as openseg does).

    Input and output are (B, channels, H, W).

    Raises:
        ValueError: an unknown ``fusion``, or a ``scale`` or a number of channels or maps below 1.
    """

    def __init__(self, channels: int, *, value_channels: int | None = None, num_maps: int | None = None,
                 fusion: str = 'add', scale: int = 1, norm_layer: NormLayer | None = nn.BatchNorm2d,
                 act_layer: ActLayer | None = nn.ReLU, zero_init: bool = True):
        super().__init__()
        if fusion not in FUSIONS:
            raise ValueError(f'fusion must be one of {FUSIONS}, got {fusion!r}')
        check_positive(scale=scale, value_channels=value_channels, num_maps=num_maps)
        if value_channels is None:
            value_channels = max(channels // (4 if fusion == 'add' else 2), 1)
        if num_maps is None:
            num_maps = max(channels // 4, 1)
        self.fusion = fusion
        self.scale = scale
        self.zero_init = zero_init
        if fusion == 'add':
            self.gather: nn.Module = nn.Conv2d(channels, num_maps, 1)
            self.distribute: nn.Module = nn.Conv2d(channels, num_maps, 1)
        else:
            self.gather = _two_convs(channels, num_maps, norm_layer, act_layer)
            self.distribute = _two_convs(channels, num_maps, norm_layer, act_layer)
        self.value = nn.Conv2d(channels, value_channels, 1)
        self.out_conv = nn.Conv2d(value_channels, channels, 1)
        if fusion == 'add':
            self.norm = norm_layer(channels) if norm_layer else nn.Identity()
        else:
            self.fuse = conv_norm_act(2 * channels, channels, bias=True, norm_layer=norm_layer, act_layer=act_layer)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if not self.zero_init:
            return
        weight = getattr(self.norm, 'weight', None) if self.fusion == 'add' else None
        if weight is not None:
            nn.init.zeros_(weight)
        else:
            zero_init(self.out_conv)

    def forward(self, x: Tensor) -> Tensor:
        source = max_pool(x, self.scale)
        context = double_attention(*(project(source).flatten(2) for project in
                                     (self.value, self.gather, self.distribute)))
        context = self.out_conv(context.unflatten(2, source.shape[-2:]))
        if self.scale > 1:
            context = F.interpolate(context, x.shape[-2:], mode='bilinear', align_corners=True)
        if self.fusion == 'add':
            return x + self.norm(context)
        return self.fuse(torch.cat([context, x], dim=1))

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Weights ``sum_n V_np S_nj`` with which the result at each point sums the values of the pixels.

        With ``scale`` a value stands for a pool of pixels; its weight is shared equally among them, and last rows and
        columns that fill no pool, which the pooling drops, have none.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better; the weights of a point sum to one.
        """
        height, width = x.shape[-2:]
        index = point_indices(points, height, width).to(x.device)
        with eval_mode(self):
            source = max_pool(x, self.scale)
            maps, vectors = attention_weights(self.gather(source).flatten(2), self.distribute(source).flatten(2))
        rows, columns = source.shape[-2:]
        with no_autocast(x):
            to_row = interpolation_matrix(rows, height, True, like=vectors)[index // width].T
            to_column = interpolation_matrix(columns, width, True, like=vectors)[index % width].T
            vectors = ((vectors.unflatten(2, (rows, columns)) @ to_column) * to_row).sum(dim=2)
            weights = vectors.transpose(1, 2) @ maps
        return unpool_weights(weights, self.scale, height, width)
