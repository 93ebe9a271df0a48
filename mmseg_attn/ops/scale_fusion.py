"""Attention over scales: predictions of one image at several sizes become one, with a weight for each scale and pixel.

Hierarchical (Tao et al. 2020, https://arxiv.org/abs/2005.10821): from the highest scale down, each scale says by its
attention a_s how much of itself goes on, and how much of what the scales above it have become.

    y = p_highest
    s >= 1:   y = a_s p_s + (1 - a_s) resize(y)
    s < 1:    y = resize(a_s p_s) + (1 - resize(a_s)) y

Softmax (Chen et al., CVPR 2016, https://arxiv.org/abs/1511.03339): the scores h of all scales compete.

    y = sum_s w_s resize(p_s)      w = softmax over s of h

``resize`` is bilinear. Shapes: B images, C classes; H_s, W_s the pixels at scale s. A scale is a factor of the side.
"""

from collections.abc import Iterable, Sequence
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from .autocast import no_autocast
from .pixel_attention import float_or_better


def scaled_size(size: Sequence[int], scale: float) -> tuple[int, ...]:
    """The sides times ``scale``, rounded down, and at least one pixel."""
    # As a fraction: 0.29 * 100 is less than 29 in floating point, and sizes of an exported graph are whole numbers.
    fraction = Fraction(scale).limit_denominator(10**6)
    return tuple(max(side * fraction.numerator // fraction.denominator, 1) for side in size)


def resize(x: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """(B, C, H, W) -> (B, C, *size), bilinear."""
    return F.interpolate(x, tuple(size), mode='bilinear', align_corners=align_corners)


def hierarchical_fusion(predictions: Iterable[tuple[float, Tensor, Tensor]], align_corners: bool = False) -> Tensor:
    """The logits of all scales as one.

    Args:
        predictions: from the highest scale down: the scale, its logits (B, C, H_s, W_s), and its attention
            (B, 1, H_s, W_s) from 0 to 1; that of the highest scale is not used. One of the scales is 1. Of an iterator,
            no prediction is held longer than it is needed.
        align_corners: of all resizing.

    Returns:
        (B, C, H, W) at scale 1, float32 or better.

    Raises:
        ValueError: the scales do not descend, or none is 1.
    """
    order = _Order()
    fused: Tensor | None = None
    for scale, logits, attention in predictions:
        order.check(scale)
        with no_autocast(logits):
            logits = float_or_better(logits)
            if fused is None:
                fused = logits
                continue
            attention = float_or_better(attention)
            if scale >= 1:
                fused = attention * logits + (1 - attention) * resize(fused, logits.shape[2:], align_corners)
            else:
                size = fused.shape[2:]
                # The product comes before the resizing, as in the authors' code.
                chosen = resize(attention * logits, size, align_corners)
                fused = chosen + (1 - resize(attention, size, align_corners)) * fused
    order.check_end()
    assert fused is not None
    return fused


def hierarchical_weights(attention: Iterable[tuple[float, Tensor]], align_corners: bool = False) -> Tensor:
    """How much each scale counts at each pixel: the product of the attentions along the hierarchy.

    They sum to one at every pixel, but for rounding: resizing keeps a constant. The fused logits are
    ``sum_s w_s resize(p_s)`` exactly for the scale 1 and one above it. They differ from this sum with scales below 1
    as the resized product differs from the product of the resized, which is nothing where logits or attention do not
    change from cell to cell; and with several scales above 1 as resizing in steps differs from resizing at once.

    Args:
        attention: from the highest scale down: the scale and its attention (B, 1, H_s, W_s). That of the highest gives
            its size only.
        align_corners: of all resizing.

    Returns:
        (B, S, H, W) at scale 1, from the highest scale down, float32 or better.

    Raises:
        ValueError: the scales do not descend, or none is 1.
    """
    order = _Order()
    weights: Tensor | None = None
    for scale, own in attention:
        order.check(scale)
        with no_autocast(own):
            own = float_or_better(own)
            if weights is None:
                weights = torch.ones_like(own)
                continue
            if scale >= 1:
                weights = resize(weights, own.shape[2:], align_corners)
            else:
                own = resize(own, weights.shape[2:], align_corners)
            weights = torch.cat([(1 - own) * weights, own], dim=1)
    order.check_end()
    assert weights is not None
    return weights


def softmax_fusion(logits: Sequence[Tensor], scores: Tensor, size: Sequence[int], align_corners: bool = False
                   ) -> Tensor:
    """The logits of all scales as one.

    Args:
        logits: of each scale, (B, C, h_s, w_s) of any sizes.
        scores: (B, S, h, w), what the softmax over the scales is of, in the order of ``logits``.
        size: height and width (H, W) of the result.
        align_corners: of all resizing.

    Returns:
        (B, C, H, W), float32 or better.

    Raises:
        ValueError: the number of scores is not that of the scales.
    """
    if scores.shape[1] != len(logits):
        raise ValueError(f'there must be a score for each of the {len(logits)} scales, got {scores.shape[1]}')
    weights = softmax_weights(scores, size, align_corners)
    with no_autocast(scores):
        fused = weights[:, :1] * resize(float_or_better(logits[0]), size, align_corners)
        for i, part in enumerate(logits[1:], start=1):
            fused = fused + weights[:, i:i + 1] * resize(float_or_better(part), size, align_corners)
        return fused


def softmax_weights(scores: Tensor, size: Sequence[int], align_corners: bool = False) -> Tensor:
    """How much each scale counts at each pixel: (B, S, h, w) scores -> (B, S, H, W), float32 or better.

    They sum to one at every pixel, but for rounding.
    """
    with no_autocast(scores):
        return resize(float_or_better(scores).softmax(dim=1), size, align_corners)


class _Order:
    """Checks that scales come from the highest down, with 1 among them."""

    def __init__(self) -> None:
        self.scales: list[float] = []

    def check(self, scale: float) -> None:
        if self.scales and not scale < self.scales[-1]:
            raise ValueError(f'scales must come from the highest down, got {scale:g} after {self.scales[-1]:g}')
        # Every scale below would be resized to a size that is not that of the image.
        if scale < 1 and 1 not in self.scales:
            raise ValueError(f'scales must have 1 among them, got {[*self.scales, scale]}')
        self.scales.append(scale)

    def check_end(self) -> None:
        if 1 not in self.scales:
            raise ValueError(f'scales must have 1 among them, got {self.scales}')
