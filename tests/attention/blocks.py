"""Every block of the package in the variants that the common battery runs over."""

from functools import partial

from mmseg_attn.attention import ExpectationMaximizationAttention, NonLocal

CHANNELS = 16

BLOCKS = {
    'emanet': partial(ExpectationMaximizationAttention, CHANNELS, num_bases=6),
    'emanet-renormalized': partial(ExpectationMaximizationAttention, CHANNELS, num_bases=6, renormalize_bases=True),
    'non_local': partial(NonLocal, CHANNELS),
    'non_local-gaussian': partial(NonLocal, CHANNELS, mode='gaussian'),
    'non_local-dot_product': partial(NonLocal, CHANNELS, mode='dot_product'),
    'non_local-concatenation': partial(NonLocal, CHANNELS, mode='concatenation'),
    'non_local-before': partial(NonLocal, CHANNELS, sub_sample='before'),
    'non_local-after': partial(NonLocal, CHANNELS, sub_sample='after'),
    'non_local-no_norm': partial(NonLocal, CHANNELS, norm_layer=None),
}

# Channel attention has no map over pixels.
WITHOUT_MAP: set[str] = set()

# Blocks that torch.export takes only with heights and widths declared as multiples of this number.
EXPORT_MULTIPLE: dict[str, int] = {}
