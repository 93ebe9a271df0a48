"""The backbones of configs/_base_, so narrow that they train in seconds on a CPU."""

import os
from importlib import import_module

import pytest
from mmengine.config import ConfigDict

STAGES = (8, 16, 32, 64)
# Type, and of timm the model -> settings, and the channels of the maps that they give, or of stages that may give some.
NARROW = {
    'SwinTransformer': (dict(embed_dims=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2)), STAGES),
    'mmpretrain.ConvNeXt': (dict(arch=dict(depths=[1, 1, 1, 1], channels=[*STAGES])), STAGES),
    'convnext_tiny.fb_in1k': (dict(depths=(1, 1, 1, 1), dims=STAGES), STAGES),
    'MixVisionTransformer': (dict(embed_dims=8, num_layers=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]), (8, 8, 16, 16)),
    'MobileNetV2': (dict(widen_factor=0.25), {1: 8, 2: 8, 4: 24, 6: 80}),
    'MobileNetV3': (dict(arch='small', out_indices=(8, 12)), (48, 576)),
    'HRNet': (dict(extra=dict(
        stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(1,), num_channels=(8,)),
        stage2=dict(num_modules=1, num_branches=2, block='BASIC', num_blocks=(1, 1), num_channels=STAGES[:2]),
        stage3=dict(num_modules=1, num_branches=3, block='BASIC', num_blocks=(1, 1, 1), num_channels=STAGES[:3]),
        stage4=dict(num_modules=1, num_branches=4, block='BASIC', num_blocks=(1, 1, 1, 1), num_channels=STAGES))),
        STAGES),
    'VisionTransformer': (dict(embed_dims=16, num_layers=2, num_heads=2, out_indices=1), (16,)),
    'vit_small_patch16_dinov3.lvd1689m': (dict(embed_dim=16, depth=2, num_heads=2), (16,)),
}
PACKAGES = {'mmpretrain.ConvNeXt': 'mmpretrain.models', 'TIMMBackbone': 'timm'}


def require_backbone(backbone: dict) -> None:
    """Skips the test where a package of the backbone is absent, but not in the environment of CI that has them all."""
    package = PACKAGES.get(backbone['type'])
    if package is None:
        return
    try:
        import_module(package)
    except Exception as error:  # a torchvision that does not fit PyTorch raises a RuntimeError
        if os.environ.get('MMSEG_ATTN_ALL_BACKBONES') == '1':
            raise
        pytest.skip(f'{backbone["type"]} needs {package}: {type(error).__name__}: {error}')


def narrow(model: ConfigDict) -> None:
    """Narrows a model in place, with heads of 16 channels and without a download; a ResNet
    begins with 8 channels."""
    model.pretrained = None
    backbone = model.backbone
    backbone.pop('init_cfg', None)
    if backbone.type == 'TIMMBackbone':
        backbone.pretrained = False
    settings, channels = NARROW.get(backbone.get('model_name', backbone.type),
                                    (dict(stem_channels=8, base_channels=8), None))
    if isinstance(channels, dict):
        channels = tuple(channels[i] for i in backbone.out_indices)
    factor = backbone.get('base_channels', 64) // 8
    backbone.update(settings)
    for head in filter(None, (model.decode_head, model.get('auxiliary_head'))):
        head.update(in_channels=_in_channels(head, channels, factor), channels=16)
        if 'ema_channels' in head or head.type == 'mmseg_attn.EMAHead':
            head.update(ema_channels=16, num_bases=6)


def _in_channels(head: dict, channels: tuple[int, ...] | None, factor: int) -> int | list[int]:
    several = isinstance(head['in_channels'], list)
    if channels is None:
        return [c // factor for c in head['in_channels']] if several else head['in_channels'] // factor
    return [channels[i] for i in head['in_index']] if several else channels[head['in_index']]
