"""UPerNet's head with CARAFE."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from mmengine.model import ModuleList
from mmseg.models.decode_heads.uper_head import UPerHead
from mmseg.models.utils import resize
from torch import Tensor

from mmseg_attn.ops.checks import check_all_positive
from mmseg_attn.registry import MODELS

from .carafe import CARAFE


@MODELS.register_module()
class CARAFEUPerHead(UPerHead):
    """CARAFE, https://arxiv.org/abs/1905.02188, in UPerNet, https://arxiv.org/abs/1807.10221.

    The top-down path and the fusion of the levels upsample by CARAFE, in steps of two with parameters of their own. The
    pooled maps of the pyramid, whose ratio to the features is not a whole number, are resized bilinearly.

    Args:
        strides: stride of each input with respect to the image. From one input to the next it stays or grows by a
            power of two. 4, 8, 16, ... when not given.
        carafe: arguments of CARAFE besides ``channels`` and ``scale_factor``; None for the paper's.
        kwargs: arguments of mmseg's UPerHead (``in_channels``, ``in_index``, ``channels``, ``num_classes``,
            ``pool_scales``, ``norm_cfg``, ...).

    Raises:
        ValueError: ``strides`` is not one number for each input, or one does not grow from the last by a power of two.
    """

    def __init__(self, *, strides: Sequence[int] | None = None, carafe: dict | None = None, **kwargs):
        super().__init__(**kwargs)
        if strides is None:
            strides = [4 * 2**i for i in range(len(self.in_channels))]
        check_all_positive(strides=strides)
        if len(strides) != len(self.in_channels):
            raise ValueError(f'strides must be one for each of the {len(self.in_channels)} inputs, got {strides}')
        doublings = [_doublings(below, above) for below, above in pairwise(strides)]

        def upsamplers(counts):
            return ModuleList(_Upsampler(self.channels, count, self.align_corners, carafe or {}) for count in counts)

        self.top_down = upsamplers(doublings)
        self.fusion = upsamplers(accumulate(doublings))

    def _forward_feature(self, inputs: list[Tensor]) -> Tensor:
        inputs = self._transform_inputs(inputs)
        levels = [conv(x) for conv, x in zip(self.lateral_convs, inputs, strict=False)]
        levels.append(self.psp_forward(inputs))
        for i in reversed(range(len(self.top_down))):
            levels[i] = levels[i] + self.top_down[i](levels[i + 1], levels[i].shape[-2:])
        outs = [conv(x) for conv, x in zip(self.fpn_convs, levels, strict=False)] + levels[-1:]
        outs[1:] = [upsample(x, outs[0].shape[-2:]) for upsample, x in zip(self.fusion, outs[1:], strict=True)]
        return self.fpn_bottleneck(torch.cat(outs, dim=1))


class _Upsampler(ModuleList):
    """``count`` times two by CARAFE, then to the exact size."""

    def __init__(self, channels: int, count: int, align_corners: bool, carafe: dict):
        super().__init__(CARAFE(channels, 2, **carafe) for _ in range(count))
        self.align_corners = align_corners

    def forward(self, x: Tensor, size: torch.Size) -> Tensor:
        # A stride of two rounds sizes up, so that what is doubled has up to one row and column too many.
        sizes = [tuple(-(-side // 2**i) for side in size) for i in range(len(self), -1, -1)]
        rounded_up = tuple(x.shape[-2:]) == sizes[0]
        for upsample, (height, width) in zip(self, sizes[1:], strict=True):
            x = upsample(x)
            if rounded_up:
                x = x[..., :height, :width]
        return x if rounded_up else resize(x, sizes[-1], mode='bilinear', align_corners=self.align_corners)


def _doublings(below: int, above: int) -> int:
    count = (above // below).bit_length() - 1
    if count < 0 or below * 2**count != above:
        raise ValueError(f'strides must grow by powers of two, got {above} after {below}')
    return count
