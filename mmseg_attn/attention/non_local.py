"""Non-local block (Wang et al., CVPR 2018, https://arxiv.org/abs/1711.07971).

Official code: https://github.com/facebookresearch/video-nonlocal-net, lib/models/nonlocal_helper.py (Caffe2, video);
its best known PyTorch port: https://github.com/AlexHex7/Non-local_pytorch.

    y_i = sum_j f(x_i, x_j) g(x_j) / C(x)          z_i = norm(W y_i) + x_i

    embedded_gaussian   f = exp(scale * q_i . k_j),   C = sum_j f
    gaussian            f = exp(x_i . x_j),           C = sum_j f
    dot_product         f = q_i . k_j,                C = M
    concatenation       f = relu(w . [q_i, k_j]),     C = M

Shapes: N = H W queries, M keys (N, or a quarter of it when sub-sampled), D = key_channels.

Differs from the official code: none. The port leaves out the scale (``use_scale=False``) and sub-samples after the
projections (``sub_sample='after'``), the original before them (``'before'``); neither is on by default here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_attn.ops import determinism
from mmseg_attn.ops.autocast import no_autocast
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.pixel_attention import (
    dot_product_attention,
    float_or_better,
    softmax_attention,
    softmax_weights,
)

from .layers import (
    NormLayer,
    flatten_pixels,
    max_pool,
    pixel_linear,
    point_indices,
    unflatten_pixels,
    unpool_weights,
)

MODES = ('embedded_gaussian', 'gaussian', 'dot_product', 'concatenation')
SUB_SAMPLES = (None, 'before', 'after')
# Short enough to be summed in parallel on a GPU, and in float32.
BLOCK_KEYS = 128


def concatenation_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``sum_j relu(a_i + b_j) v_j / M`` for ``a = query`` (B, N), ``b = key`` (B, M), ``v = value`` (B, M, E).

    The term of key j enters where ``b_j > -a_i``. With the keys in descending order those are the first few, so that
    running sums hold every possible result: O((N + M) (log M + E)) instead of O(N M E), and no N x M tensor. With
    c the largest key of the block of :data:`BLOCK_KEYS` keys in which they end,

        sum_j (a_i + b_j) v_j = (a_i + c) sum_j v_j + sum_j (b_j - c) v_j

    where no factor before that block is negative, so that little cancels and float32 is enough.
    """
    out_dtype = value.dtype
    query, key, value = float_or_better(query), float_or_better(key), float_or_better(value)
    key, order = key.sort(dim=1, descending=True)
    value = value.gather(1, order[..., None].expand_as(value))
    num_active = torch.searchsorted(-key.detach().contiguous(), query.detach().contiguous())
    # One more than is needed: a graph with free sizes cannot tell one block from many.
    num_blocks = key.shape[1] // BLOCK_KEYS + 2
    padding = num_blocks * BLOCK_KEYS - key.shape[1]
    blocks = F.pad(key, (0, padding)).unflatten(1, (num_blocks, BLOCK_KEYS))
    values = F.pad(value, (0, 0, 0, padding)).unflatten(1, (num_blocks, BLOCK_KEYS))
    # Nothing depends on it: its gradients would be large ones that cancel, but for their rounding.
    largest = blocks[:, :, 0].detach()
    terms = torch.cat([values, (blocks - largest[:, :, None])[..., None] * values], dim=3)
    sums = (_running_sums(terms) + _sums_before(terms, largest)[:, :, None]).flatten(1, 2)

    last = (num_active - 1).clamp(min=0)
    sum_value, sum_key_value = sums.gather(1, last[..., None].expand(-1, -1, sums.shape[2])).chunk(2, dim=2)
    factor = query + largest.gather(1, last // BLOCK_KEYS)
    out = (factor[..., None] * sum_value + sum_key_value) / key.shape[1]
    return out.masked_fill((num_active == 0)[..., None], 0).to(out_dtype)


def _running_sums(terms: Tensor) -> Tensor:
    """Along the keys of each block, of (B, blocks, keys, 2 E)."""
    if determinism.is_required(terms):
        with no_autocast(terms):
            return terms.new_ones(terms.shape[2], terms.shape[2]).tril() @ terms
    return terms.cumsum(dim=2)


def _sums_before(terms: Tensor, largest: Tensor) -> Tensor:
    """Sums of the terms of all blocks before each, (B, blocks, 2 E), less the largest key of that block."""
    sum_value, sum_key_value = terms.sum(dim=2, dtype=torch.float64).chunk(2, dim=2)
    gaps = (largest[:, None, :].double() - largest[:, :, None]).tril(-1)
    before = torch.ones_like(gaps).tril(-1)
    return torch.cat([before @ sum_value, before @ sum_key_value + gaps @ sum_value], dim=2).to(terms.dtype)


class NonLocal(nn.Module):
    """Every pixel draws on every other by the similarity of the two.

    Args:
        channels: channels of input and output.
        key_channels: width D of queries, keys and values; half of ``channels`` when not given. In the 'gaussian' mode
            queries and keys are the input itself.
        mode: the pairwise function, one of 'embedded_gaussian', 'gaussian', 'dot_product', 'concatenation'.
        use_scale: divide the logits of 'embedded_gaussian' by the square root of D. The other modes have no scale.
        sub_sample: 2 x 2 max-pooling of keys and values: 'before' their projections (original code), 'after' them (its
            PyTorch port and mmcv, ``sub_sample=True`` there), or None.
        norm_layer: channels -> module, after the last convolution; None for none.
        zero_init: start as the identity, by a zero weight of the norm (of the last convolution where it has none).

    Input and output are (B, channels, H, W).

    Raises:
        ValueError: an unknown ``mode`` or ``sub_sample``.
    """

    def __init__(self, channels: int, *, key_channels: int | None = None, mode: str = 'embedded_gaussian',
                 use_scale: bool = True, sub_sample: str | None = None,
                 norm_layer: NormLayer | None = nn.BatchNorm2d, zero_init: bool = True):
        super().__init__()
        check_positive(key_channels=key_channels)
        if mode not in MODES:
            raise ValueError(f'mode must be one of {MODES}, got {mode!r}')
        if sub_sample not in SUB_SAMPLES:
            raise ValueError(f'sub_sample must be one of {SUB_SAMPLES}, got {sub_sample!r}')
        key_channels = key_channels or max(channels // 2, 1)
        self.mode = mode
        self.scale = key_channels**-0.5 if use_scale and mode == 'embedded_gaussian' else 1.0
        self.sub_sample = sub_sample
        self.zero_init = zero_init
        if mode != 'gaussian':
            self.query = nn.Conv2d(channels, key_channels, 1)
            self.key = nn.Conv2d(channels, key_channels, 1)
        if mode == 'concatenation':
            self.concat_project = nn.Conv2d(2 * key_channels, 1, 1, bias=False)
        self.value = nn.Conv2d(channels, key_channels, 1)
        self.out_conv = nn.Conv2d(key_channels, channels, 1)
        self.norm = norm_layer(channels) if norm_layer else nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        for conv in (m for m in self.children() if isinstance(m, nn.Conv2d)):
            nn.init.normal_(conv.weight, std=0.01)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        if self.zero_init:
            weight = getattr(self.norm, 'weight', None)
            nn.init.zeros_(self.out_conv.weight if weight is None else weight)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self._project(x)
        if self.mode == 'dot_product':
            context = dot_product_attention(query, key, value)
        elif self.mode == 'concatenation':
            context = concatenation_attention(*self._concat_logits(query, key), value)
        else:
            context = softmax_attention(query, key, value, self.scale)
        context = F.linear(context, self.out_conv.weight.flatten(1), self.out_conv.bias)
        return x + self.norm(unflatten_pixels(context, like=x))

    @torch.no_grad()
    def attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """Weights ``f(x_p, x_j) / C`` of the values in the sum at each point.

        With ``sub_sample`` a key stands for 2 x 2 pixels; its weight is shared equally among them, and a last odd row
        or column, which the pooling drops, has none.

        Args:
            x: the block's input, (B, channels, H, W).
            points: (P, 2) integers, (row, column).

        Returns:
            (B, P, H, W), float32 or better.
        """
        height, width = x.shape[-2:]
        index = point_indices(points, height, width).to(x.device)
        query, key, _ = self._project(x)
        query = query[:, index]
        with no_autocast(x):
            if self.mode == 'dot_product':
                weights = float_or_better(query) @ float_or_better(key).transpose(1, 2) / key.shape[1]
            elif self.mode == 'concatenation':
                query, key = self._concat_logits(float_or_better(query), float_or_better(key))
                weights = (query[:, :, None] + key[:, None, :]).relu() / key.shape[1]
            else:
                weights = softmax_weights(query, key, self.scale)
        if self.sub_sample:
            return unpool_weights(weights, 2, height, width)
        return weights.unflatten(2, (height, width))

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        source = max_pool(x, 2) if self.sub_sample == 'before' else x
        embed = self.mode != 'gaussian'
        query = pixel_linear(self.query, x) if embed else flatten_pixels(x)
        if self.sub_sample == 'after':
            key = self.key(source) if embed else source
            return query, flatten_pixels(max_pool(key, 2)), flatten_pixels(max_pool(self.value(source), 2))
        key = pixel_linear(self.key, source) if embed else flatten_pixels(source)
        return query, key, pixel_linear(self.value, source)

    def _concat_logits(self, query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        weight_query, weight_key = self.concat_project.weight.flatten().chunk(2)
        return query @ weight_query.to(query.dtype), key @ weight_key.to(key.dtype)
