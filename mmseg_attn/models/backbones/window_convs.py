"""Attention to a window in the place of the 3 x 3 convolutions of a backbone; also as plugins, as all blocks are.

In a config, for Bottlenecks (ResNet-50 and deeper):

    backbone=dict(dcn=dict(type='mmseg_attn.LocalRelation', window=7), stage_with_dcn=(False, False, True, True))
"""

from mmseg_attn.attention.lrnet import LocalRelation
from mmseg_attn.attention.sasa import StandAloneSelfAttention
from mmseg_attn.registry import MODELS


@MODELS.register_module(name='LocalRelation')
class LocalRelationConv(LocalRelation):
    """:class:`~mmseg_attn.attention.LocalRelation` with the arguments of a convolution.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; those of the input where it is a plugin.
        kernel_size: of the convolution whose place this takes: of no effect, ``window`` is that of the attention.
        stride: pixels of the input from one of the output to the next.
        padding: of no effect, the output has the size of the input divided by ``stride``, rounded up.
        dilation: pixels from one tap of the window to the next.
        groups: 1.
        bias: whether the last convolution has one.
        kwargs: arguments of the block (``window``, ``channels_per_group``, ``similarity``, ...).

    Raises:
        ValueError: ``groups`` or ``fallback_on_stride``, or what the block refuses.
    """

    _abbr_ = 'local_relation'

    def __init__(self, in_channels: int, out_channels: int | None = None, kernel_size=3, stride=1, padding=0,
                 dilation=1, groups: int = 1, bias: bool = True, *, fallback_on_stride: bool = False, **kwargs):
        _refuse('LocalRelation', groups, fallback_on_stride)
        super().__init__(in_channels, out_channels=out_channels, stride=_one('stride', stride),
                         dilation=_one('dilation', dilation), bias=bias, **kwargs)


@MODELS.register_module(name='StandAloneSelfAttention')
class StandAloneSelfAttentionConv(StandAloneSelfAttention):
    """:class:`~mmseg_attn.attention.StandAloneSelfAttention` with the arguments of a convolution.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; those of the input where it is a plugin.
        kernel_size: of the convolution whose place this takes: of no effect, ``window`` is that of the attention.
        stride: pixels of the input that one of the output is the mean of, along each axis.
        padding: of no effect, the output has the size of the input divided by ``stride``, rounded up.
        dilation: pixels from one tap of the window to the next.
        groups: 1.
        bias: False; the projections have none.
        kwargs: arguments of the block (``window``, ``heads``, ``border``, ...).

    Raises:
        ValueError: ``groups``, ``bias`` or ``fallback_on_stride``, or what the block refuses.
    """

    _abbr_ = 'stand_alone_self_attention'

    def __init__(self, in_channels: int, out_channels: int | None = None, kernel_size=3, stride=1, padding=0,
                 dilation=1, groups: int = 1, bias: bool = False, *, fallback_on_stride: bool = False, **kwargs):
        _refuse('StandAloneSelfAttention', groups, fallback_on_stride)
        if bias:
            raise ValueError('StandAloneSelfAttention has projections without bias: bias must be False')
        super().__init__(in_channels, out_channels=out_channels, stride=_one('stride', stride),
                         dilation=_one('dilation', dilation), **kwargs)


def _refuse(name: str, groups: int, fallback_on_stride: bool) -> None:
    if groups != 1:
        raise ValueError(f'{name} cannot take the place of a grouped convolution, got groups={groups}: it fits the '
                         'Bottlenecks of ResNet, not those of ResNeXt or ResNeSt')
    if fallback_on_stride:
        raise ValueError(f'{name} has strides of its own: leave fallback_on_stride out')


def _one(name: str, value: int | tuple[int, ...]) -> int:
    """Of both axes."""
    sides = {value} if isinstance(value, int) else set(value)
    if len(sides) != 1:
        raise ValueError(f'{name} must be the same along both axes, got {value}')
    return sides.pop()
