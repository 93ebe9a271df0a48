"""What the configs of other backbones than ResNet promise: whose learning rates they have, and which maps they take."""

from importlib import import_module
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from torch import nn

from mmseg_attn.benchmark.parts import build_model
from mmseg_attn.checkpoints.loading import load_model
from mmseg_attn.checkpoints.model import build_empty
from mmseg_attn.engine.flat_decay import FlatDecayConstructor
from mmseg_attn.engine.launch import _replace_sync_bn
from mmseg_attn.registry import MODELS
from tests.backbones import narrow, require_backbone

FOLDER = Path(__file__).parents[2] / 'configs'


def build(name):
    """The config with its model narrowed, and that model."""
    init_default_scope('mmseg')
    path = FOLDER / f'{name}_cityscapes.py'
    require_backbone(Config.fromfile(path, import_custom_modules=False).model.backbone)
    cfg = Config.fromfile(path)
    narrow(cfg.model)
    _replace_sync_bn(cfg.model)
    return cfg, MODELS.build(cfg.model)


def settings_of(cfg, model):
    """Name of the parameter -> (learning rate / that of the config, weight decay / that of the config)."""
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    names = {parameter: name for name, parameter in model.named_parameters()}
    lr, decay = cfg.optim_wrapper.optimizer.lr, cfg.optim_wrapper.optimizer.weight_decay
    return {names[parameter]: (group['lr'] / lr, group['weight_decay'] / decay)
            for group in optimizer.param_groups for parameter in group['params']}


# mmseg's recipes, as docs/backbones.md cites them.
RECIPES = {
    'emanet_swin_t': (6e-5, 0.01, 16, {
        'backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table': (1, 0),
        'backbone.stages.0.blocks.0.norm1.weight': (1, 0), 'backbone.norm3.bias': (1, 0),
        'backbone.stages.0.blocks.0.attn.w_msa.qkv.weight': (1, 1), 'decode_head.conv_seg.weight': (1, 1)}),
    'isanet_mit_b0': (6e-5, 0.01, 8, {
        'backbone.layers.0.1.0.norm1.weight': (1, 0), 'backbone.layers.0.1.0.attn.attn.in_proj_weight': (1, 1),
        'decode_head.conv_seg.weight': (10, 1)}),
    'danet_vit_b16': (6e-5, 0.01, 16, {
        'backbone.pos_embed': (1, 0), 'backbone.cls_token': (1, 0), 'backbone.layers.0.ln1.weight': (1, 0),
        'backbone.ln1.weight': (1, 0), 'backbone.layers.0.ffn.layers.1.weight': (1, 1),
        'decode_head.conv_seg.weight': (1, 1)}),
    'danet_convnext_t': (1e-4, 0.05, 16, {
        'backbone.downsample_layers.0.0.weight': (0.9**7, 1), 'backbone.stages.3.0.depthwise_conv.bias': (0.9**3, 0),
        'decode_head.conv_seg.weight': (1, 1)}),
    'ocnet_timm_dinov3_s16': (6e-5, 0.01, 16, {
        'backbone.timm_model.model.cls_token': (1, 0), 'backbone.timm_model.model.reg_token': (1, 0),
        'backbone.timm_model.model.blocks.0.gamma_1': (1, 0),
        'backbone.timm_model.model.blocks.0.norm1.weight': (1, 0),
        'backbone.timm_model.model.blocks.0.attn.qkv.weight': (1, 1)}),
}


@pytest.mark.parametrize('name', RECIPES)
def test_recipe(name):
    lr, decay, batch_size, expected = RECIPES[name]
    cfg, model = build(name)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('AdamW', lr, decay)
    assert cfg.auto_scale_lr.base_batch_size == batch_size
    found = settings_of(cfg, model)
    assert found.keys() == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, setting in expected.items():
        assert found[name] == pytest.approx(setting), name


def test_convnext_of_timm_learns_as_that_of_mmpretrain():
    def by_place(name):
        """(stage, kind) of a parameter of either."""
        cfg, model = build(name)
        found = {}
        for key, setting in settings_of(cfg, model).items():
            if key.startswith('backbone.') and '.norm' not in key:
                parameter = model.get_parameter(key)
                place = ('stem' if 'stem' in key or 'downsample' in key else key.split('stages')[1][1], parameter.ndim)
                found.setdefault(place, setting)
                assert setting == pytest.approx(found[place]), key
        return found
    ours, theirs = by_place('ccnet_timm_convnext_t'), by_place('danet_convnext_t')
    assert ours.keys() == theirs.keys()
    assert len(ours) == 14
    for place, setting in ours.items():
        assert setting == pytest.approx(theirs[place]), place


def test_parameters_of_one_dimension_are_not_decayed():
    model = nn.ModuleDict(dict(a=nn.Conv2d(2, 3, 1), b=nn.Linear(2, 3), norm=nn.LayerNorm(3)))
    for paramwise in dict(custom_keys=dict(a=dict(lr_mult=0.5))), dict(bias_lr_mult=1.0):
        optimizer = build_optim_wrapper(model, dict(
            type='OptimWrapper', optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1),
            constructor='mmseg_attn.FlatDecayConstructor', paramwise_cfg=paramwise)).optimizer
        assert {(group['params'][0].ndim, group['weight_decay']) for group in optimizer.param_groups} == {
            (4, 0.1), (2, 0.1), (1, 0.0)}
    with pytest.raises(ValueError, match='FlatDecayConstructor needs a paramwise_cfg'):
        FlatDecayConstructor(dict(optimizer=dict(type='SGD', lr=1.0)))(model)


def test_dinov2_is_frozen():
    cfg, model = build('ocnet_dinov2_s14')
    assert not any(parameter.requires_grad for parameter in model.backbone.parameters())
    assert cfg.optim_wrapper.optimizer.lr == 1e-3
    assert all(side % 14 == 0 for side in cfg.crop_size)
    assert cfg.train_pipeline[3].crop_size == cfg.model.data_preprocessor.size == cfg.model.test_cfg.crop_size


# Stride of the map that the head gets.
STRIDES = {'emanet_swin_t': 8, 'danet_convnext_t': 8, 'ccnet_timm_convnext_t': 8, 'isanet_mit_b0': 8,
           'emanet_mobilenet_v2': 8, 'ccnet_mobilenet_v3': 8, 'isanet_hrnet_w18': 4, 'danet_vit_b16': 16,
           'ocnet_dinov2_s14': 14, 'ocnet_timm_dinov3_s16': 16}


@pytest.mark.parametrize('name', STRIDES)
def test_the_head_gets_the_stride_of_the_page(name):
    _, model = build(name)
    side = 16 * STRIDES[name]
    with torch.no_grad():
        features = model.eval().extract_feat(torch.randn(1, 3, side, 2 * side))
        assert model.decode_head._transform_inputs(features).shape[2:] == (16, 32)


def test_nothing_is_downloaded_that_a_checkpoint_replaces(tmp_path, monkeypatch):
    cfg, model = build('ccnet_timm_convnext_t')
    timm = import_module('timm')
    create, asked = timm.create_model, []

    def create_model(*args, pretrained, **kwargs):
        asked.append(pretrained)
        return create(*args, pretrained=False, **kwargs)
    monkeypatch.setattr(timm, 'create_model', create_model)
    cfg.model.backbone.pretrained = True
    cfg.dump(tmp_path / 'config.py')
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    load_model(tmp_path / 'config.py', tmp_path / 'weights.pth')
    build_empty(cfg.model.to_dict())
    MODELS.build(cfg.model)  # for a training
    build_model(cfg)
    assert [value for value in asked if value] == [True]
    assert len(asked) >= 4
