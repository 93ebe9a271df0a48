"""Small backbones, and the options that blocks need in them."""

import torch
from mmengine.registry import init_default_scope

from mmseg_attn import attention
from mmseg_attn.registry import MODELS
from tests.helpers import randomize

NAMES = sorted(attention.__all__)
OPTIONS = {
    'SymbolicGraphReasoning': dict(num_nodes=5),
    'CompactGeneralizedNonLocal': dict(num_groups=2),
    'LatentGNN': dict(latent_dims=(6,)),
    'PointwiseSpatialAttention': dict(mask_size=9),
    'DynamicGraphMessagePassing': dict(groups=2),
    'LocalRelation': dict(window=3, channels_per_group=4),
    'StandAloneSelfAttention': dict(window=3, heads=2),
    'SE': dict(reduction=4), 'CBAM': dict(reduction=4), 'BAM': dict(reduction=4),
}
# Image of 65 x 97 pixels: maps of 9 x 13 in the last stages.
SIZE = 65, 97
# Such blocks start as the identity, by themselves or where they are asked to.
IDENTITY = {name: {} for name in (
    'ChannelAttention', 'CompactGeneralizedNonLocal', 'CrissCrossAttention', 'DoubleAttention', 'GlobalReasoning',
    'LatentGNN', 'NonLocal', 'PositionAttention')
    } | {name: dict(identity_start=True) for name in ('SE', 'CBAM', 'BAM')} | {
    name: dict(zero_init=True) for name in ('SymbolicGraphReasoning', 'BeyondGrids')}


def cfg(name, **options):
    return dict(type=f'mmseg_attn.{name}') | OPTIONS.get(name, {}) | options


def build(type='mmseg_attn.ResNetV1c', depth=50, **options):
    init_default_scope('mmseg')
    settings = dict(type=type, depth=depth, base_channels=8, stem_channels=8, strides=(1, 2, 1, 1),
                    dilations=(1, 1, 2, 4), norm_cfg=dict(type='BN'), contract_dilation=True)
    return MODELS.build(settings | options)


def image(batch=2):
    return torch.randn(batch, 3, *SIZE)


def outputs(backbone, x):
    """In evaluation mode; mmseg's ResNet.eval() returns None."""
    backbone.eval()
    return backbone(x)


def check_training_step(backbone):
    """Finite gradients for the image and all parameters, none of which is at a zero that hides another."""
    randomize(backbone, std=0.2)
    backbone.train()
    x = image().requires_grad_()
    sum(out.square().mean() for out in backbone(x)).backward()
    assert x.grad.isfinite().all()
    for name, parameter in backbone.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
