"""All attention heads, small, with the options that their tests declare; and what goes into them."""

import torch

from mmseg_attn.registry import MODELS
from tests.attention.blocks import HEADS as SMALL
from tests.helpers import randomize

HEADS = sorted(SMALL)
VARIANTS = [(name, variant) for name in HEADS for variant in SMALL[name]]


def build_head(name, variant, **kwargs):
    config = dict(type=f'mmseg_attn.{name}', in_channels=12, in_index=1, channels=8, num_classes=5,
                  norm_cfg=dict(type='BN'))
    return randomize(MODELS.build(config | variant | kwargs))


def stage_features(batch=2, height=9, width=13):
    return [torch.randn(batch, 4, 2 * height, 2 * width), torch.randn(batch, 12, height, width)]
