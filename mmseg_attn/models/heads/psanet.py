"""PSANet's head."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmseg_attn.attention.psanet import PointwiseSpatialAttention
from mmseg_attn.ops.checks import check_all_positive, check_positive
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class PSAHead(AttentionHead):
    """Point-wise Spatial Attention Network, https://hszhao.github.io/projects/psanet.

        point-wise spatial attention -> concatenate the backbone's features, conv3x3 -> classifier

    Args:
        mask_size: rows and columns of the mask of relative positions, odd. Derived from ``crop_size`` when not given.
        crop_size: height and width of the training images in pixels, from which the mask follows that reaches from
            every pixel to every other one: 59 x 59 for crops of 465, 89 x 89 for 705.
        output_stride: image pixels per feature pixel, for ``crop_size``.
        mid_channels: channels of the attention; ``channels`` when not given.
        psa_type: 'collect', 'distribute' or 'bi-direction'.
        compact: one logit for each absolute position; then only crops of ``crop_size`` fit.
        shrink_factor: the attention works on a map smaller by this factor.
        normalization_factor: divides the result of the attention; None for the number of mask positions.
        psa_softmax: normalise the logits.
        mmseg_compatible: mmseg's padding of ``proj`` and rules of sizes, which the weights of its model zoo need
            (together with their ``mask_size``).
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).

    Raises:
        ValueError: neither ``mask_size`` nor ``crop_size`` is given, a ``mask_size`` does not fit ``crop_size``, or
            what PointwiseSpatialAttention refuses.
    """

    def __init__(self, *args, mask_size: int | Sequence[int] | None = None,
                 crop_size: int | Sequence[int] | None = None, output_stride: int = 8,
                 mid_channels: int | None = None, psa_type: str = 'bi-direction', compact: bool = False,
                 shrink_factor: int = 2, normalization_factor: float | None = 1.0, psa_softmax: bool = True,
                 mmseg_compatible: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        check_positive(output_stride=output_stride, shrink_factor=shrink_factor)
        fitting = None if crop_size is None else _mask_size(crop_size, output_stride * shrink_factor, compact)
        if mask_size is None:
            mask_size = fitting
        elif fitting is not None and not mmseg_compatible:
            _check_mask_size(mask_size, fitting, crop_size, compact)
        if mask_size is None:
            raise ValueError('PSAHead needs mask_size, or crop_size to derive it from: '
                             'decode_head=dict(crop_size=(512, 512)), the size of the training images in pixels')
        self.attention = PointwiseSpatialAttention(
            self.in_channels, mask_size=mask_size, mid_channels=mid_channels or self.channels, psa_type=psa_type,
            compact=compact, shrink_factor=shrink_factor, normalization_factor=normalization_factor,
            psa_softmax=psa_softmax, mmseg_compatible=mmseg_compatible, align_corners=self.align_corners,
            norm_layer=self.norm_layer, act_layer=self.act_layer)
        self.in_conv = torch.nn.Identity()
        self.bottleneck = self.concat_conv(2 * self.in_channels, self.channels)

    def forward_feature(self, x: Tensor) -> Tensor:
        return self.bottleneck(x, self.attention(x))


def _mask_size(crop_size: int | Sequence[int], stride: int, compact: bool) -> tuple[int, ...]:
    crop_size = (crop_size, crop_size) if isinstance(crop_size, int) else crop_size
    check_all_positive(crop_size=crop_size)
    size = [(side - 1) // stride + 1 for side in crop_size]
    return tuple(size if compact else [2 * side - 1 for side in size])


def _check_mask_size(mask_size: int | Sequence[int], fitting: tuple[int, ...], crop_size: object,
                     compact: bool) -> None:
    mask_size = (mask_size, mask_size) if isinstance(mask_size, int) else tuple(mask_size)
    if compact and mask_size != fitting:
        raise ValueError(f'a compact mask for crop_size={crop_size} has the size {fitting}, got mask_size={mask_size}')
    if any(mask > most for mask, most in zip(mask_size, fitting, strict=False)):
        raise ValueError(f'mask_size={mask_size} is larger than {fitting}, which reaches everywhere in a crop of '
                         f'{crop_size}')
