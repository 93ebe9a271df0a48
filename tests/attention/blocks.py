"""Every block of the package in the variants that the common battery runs over."""

from functools import partial

from torch import nn

from mmseg_attn.attention import (
    AdaptiveContext,
    ASPObjectContext,
    BaseObjectContext,
    ChannelAttention,
    CrissCrossAttention,
    DoubleAttention,
    DynamicGraphMessagePassing,
    ExpectationMaximizationAttention,
    GlobalReasoning,
    InterlacedSparseSelfAttention,
    NonLocal,
    PointwiseSpatialAttention,
    PositionAttention,
    PyramidObjectContext,
)

CHANNELS = 16

BLOCKS = {
    'a2net': partial(DoubleAttention, CHANNELS),
    'a2net-scale': partial(DoubleAttention, CHANNELS, scale=2),
    'a2net-cat': partial(DoubleAttention, CHANNELS, fusion='cat'),
    'a2net-no_norm': partial(DoubleAttention, CHANNELS, norm_layer=None),
    'apcnet': partial(AdaptiveContext, CHANNELS),
    'apcnet-scale_3': partial(AdaptiveContext, CHANNELS, pool_scale=3),
    'apcnet-no_fusion': partial(AdaptiveContext, CHANNELS, pool_scale=6, fusion=False),
    'ccnet': partial(CrissCrossAttention, CHANNELS),
    'ccnet-one_pass': partial(CrissCrossAttention, CHANNELS, recurrence=1),
    'danet-position': partial(PositionAttention, CHANNELS),
    'danet-channel': partial(ChannelAttention, CHANNELS),
    # Reduced, as random offsets of the plain form amplify rounding beyond what the battery allows.
    'dgmn': partial(DynamicGraphMessagePassing, CHANNELS, rates=(1, 3), reduction=2, norm_layer=None),
    'dgmn-deform': partial(DynamicGraphMessagePassing, CHANNELS, rates=(2,), mode='deform'),
    'dgmn-none': partial(DynamicGraphMessagePassing, CHANNELS, rates=(1, 3), mode='none'),
    'dgmn-fast': partial(
        DynamicGraphMessagePassing, CHANNELS, rates=(1, 3), rigorous=False, norm_layer=partial(nn.GroupNorm, 2)),
    'emanet': partial(ExpectationMaximizationAttention, CHANNELS, num_bases=6),
    'emanet-renormalized': partial(ExpectationMaximizationAttention, CHANNELS, num_bases=6, renormalize_bases=True),
    'glore': partial(GlobalReasoning, CHANNELS, num_nodes=6),
    'glore-few_states': partial(GlobalReasoning, CHANNELS, num_nodes=6, num_states=3),
    'glore-no_norm': partial(GlobalReasoning, CHANNELS, num_nodes=6, norm_layer=None),
    'isanet': partial(InterlacedSparseSelfAttention, CHANNELS, down_factors=4),
    'isanet-factors': partial(InterlacedSparseSelfAttention, CHANNELS, down_factors=((4, 2), (3, 3))),
    'isanet-masked': partial(InterlacedSparseSelfAttention, CHANNELS, down_factors=(4, 3), mask_padding=True),
    'isanet-no_norm': partial(InterlacedSparseSelfAttention, CHANNELS, down_factors=4, norm_layer=None),
    'non_local': partial(NonLocal, CHANNELS),
    'non_local-gaussian': partial(NonLocal, CHANNELS, mode='gaussian'),
    'non_local-dot_product': partial(NonLocal, CHANNELS, mode='dot_product'),
    'non_local-concatenation': partial(NonLocal, CHANNELS, mode='concatenation'),
    'non_local-before': partial(NonLocal, CHANNELS, sub_sample='before'),
    'non_local-after': partial(NonLocal, CHANNELS, sub_sample='after'),
    'non_local-no_norm': partial(NonLocal, CHANNELS, norm_layer=None),
    'ocnet-base': partial(BaseObjectContext, CHANNELS),
    'ocnet-base-openseg': partial(BaseObjectContext, CHANNELS, sizes=(1, 2), shared_query=False),
    'ocnet-pyramid': partial(PyramidObjectContext, CHANNELS),
    'ocnet-pyramid-no_norm': partial(PyramidObjectContext, CHANNELS, scales=(1, 2), norm_layer=None),
    'ocnet-asp': partial(ASPObjectContext, CHANNELS),
    'ocnet-asp-openseg': partial(ASPObjectContext, CHANNELS, value_channels=4, shared_query=False, context_conv=False),
    'psanet': partial(PointwiseSpatialAttention, CHANNELS, mask_size=(9, 13)),
    'psanet-collect-no_softmax': partial(
        PointwiseSpatialAttention, CHANNELS, mask_size=(5, 9), psa_type='collect', psa_softmax=False,
        normalization_factor=None),
    'psanet-distribute': partial(PointwiseSpatialAttention, CHANNELS, mask_size=(5, 5), psa_type='distribute'),
}

# Channel attention has no map over pixels.
WITHOUT_MAP: set[str] = {'danet-channel'}

# Blocks that torch.export takes only with heights and widths declared as multiples of this number.
# (The pyramid's grid of 6 x 6 blocks takes any size, but from 12 x 12 pixels on.)
EXPORT_MULTIPLE: dict[str, int] = {'ocnet-pyramid': 6}
