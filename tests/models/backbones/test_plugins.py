"""Every block as mmcv's plugin."""

import copy
import pickle

import pytest
import torch
from mmengine.registry import init_default_scope
from mmseg.models.backbones.resnet import Bottleneck
from torch import nn

from mmseg_attn import attention
from mmseg_attn.models.backbones import plugins
from mmseg_attn.registry import MODELS
from tests.helpers import assert_matches_golden
from tests.models.backbones.small import IDENTITY, NAMES, OPTIONS, build, cfg, check_training_step, image, outputs

LAST_STAGE = (False, False, False, True)


def with_plugin(name, position='after_conv3', type='ResNetV1c', **options):
    """mmseg's own backbone, with the block in the three residual blocks of its last stage."""
    return build(type, plugins=[dict(cfg=cfg(name, **options), stages=LAST_STAGE, position=position)])


def alone(name, channels=8, **options):
    init_default_scope('mmseg')
    return MODELS.build(cfg(name, in_channels=channels, **options))


def test_every_block_is_a_plugin():
    for name in attention.__all__:
        bases = MODELS.get(f'mmseg_attn.{name}').__mro__
        assert getattr(attention, name) in bases
        # Of a convolution the initial values are those of the backbone.
        assert (plugins.Plugin in bases) == (name not in plugins.CONVOLUTIONS)


@pytest.mark.parametrize('name', NAMES)
def test_trains_where_mmseg_adds_in_place(name):
    block = alone(name)
    x = torch.randn(2, 8, 9, 13, requires_grad=True)
    out = block(x)
    out += x
    out.sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters() if parameter.requires_grad)


@pytest.mark.parametrize('name', plugins.NEED_THEIR_OUTPUT)
def test_would_not_without_a_copy_of_its_output(name):
    block = alone(name)
    block.needs_output = False
    x = torch.randn(2, 8, 9, 13, requires_grad=True)
    out = block(x)
    out += x
    with pytest.raises(RuntimeError, match='modified by an inplace operation'):
        out.sum().backward()


@pytest.mark.slow
@pytest.mark.parametrize('position', ['after_conv2', 'after_conv3'])
@pytest.mark.parametrize('name', NAMES)
def test_backbone_takes_a_training_step(name, position):
    check_training_step(with_plugin(name, position))


def test_names_in_the_state_dict():
    names = with_plugin('NonLocal').state_dict().keys() - build('ResNetV1c').state_dict().keys()
    assert {name.rpartition('non_local.')[0] for name in names} == {f'layer4.{i}.' for i in range(3)}
    assert 'layer4.2.non_local.query.weight' in names


@pytest.mark.parametrize('name', IDENTITY)
def test_starts_as_the_identity_also_without_a_checkpoint(name):
    """The backbone's own initial values reach the plugin too, and would turn the zeros of norms into ones."""
    backbone = with_plugin(name, **IDENTITY[name])
    plain = build('ResNetV1c')
    backbone.init_weights()
    plain.load_state_dict(backbone.state_dict(), strict=False)
    x = image(1)
    for out, expected in zip(outputs(backbone, x), outputs(plain, x), strict=True):
        assert torch.equal(out, expected)


def test_initial_values_are_those_of_the_block():
    torch.manual_seed(0)
    block = alone('NonLocal')
    nn.init.ones_(block.query.weight)
    block.init_weights()
    assert 0.005 < block.query.weight.std() < 0.02


def test_norms_and_activations_of_the_config():
    assert isinstance(alone('NonLocal', norm_cfg=dict(type='GN', num_groups=2)).norm, nn.GroupNorm)
    assert isinstance(alone('NonLocal', norm_cfg=None).norm, nn.Identity)
    assert isinstance(alone('NonLocal').norm, nn.BatchNorm2d)
    assert isinstance(alone('SE', act_cfg=dict(type='LeakyReLU')).act, nn.LeakyReLU)


@pytest.mark.parametrize('name', NAMES)
def test_copies_and_pickles(name):
    block = alone(name).eval()
    x = torch.randn(1, 8, 9, 13)
    for other in copy.deepcopy(block), pickle.loads(pickle.dumps(block)):
        assert torch.equal(other(x), block(x))
        if name not in plugins.CONVOLUTIONS:
            other.init_weights()


def test_options_are_of_blocks_that_there_are():
    assert OPTIONS.keys() | IDENTITY.keys() <= set(attention.__all__)


def test_se_stands_where_the_authors_have_it(golden):
    """The residual block of the authors' networks, in mmseg's words."""
    numbers = golden('se_resnet_bottleneck')
    config = numbers['config']
    init_default_scope('mmseg')
    plugin = dict(cfg=dict(type='mmseg_attn.SE', reduction=config['reduction']), position='after_conv3')
    downsample = nn.Sequential(
        nn.Conv2d(config['inplanes'], 64, 1, config['stride'], bias=False), nn.BatchNorm2d(64))
    block = Bottleneck(config['inplanes'], config['planes'], config['stride'], style='caffe', downsample=downsample,
                       plugins=[plugin])
    assert_matches_golden(block, numbers, {part: part.replace('_module', '') for part in (
        'conv1', 'bn1', 'conv2', 'bn2', 'conv3', 'bn3', 'se_module', 'downsample')})
