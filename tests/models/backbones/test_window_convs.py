"""Window attention in the place of the 3 x 3 convolutions of a backbone."""

import pytest
import torch
from mmcv.cnn import build_conv_layer
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

import mmseg_attn
from mmseg_attn.attention import LocalRelation, StandAloneSelfAttention
from mmseg_attn.common.shipped import configs_folder
from mmseg_attn.models.backbones.window_convs import LocalRelationConv, StandAloneSelfAttentionConv
from mmseg_attn.registry import MODELS
from tests.helpers import randomize

LAYERS = {
    'LocalRelation': (LocalRelationConv, LocalRelation, dict(window=3, channels_per_group=4)),
    'StandAloneSelfAttention': (StandAloneSelfAttentionConv, StandAloneSelfAttention, dict(window=3, heads=2)),
}


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')


@pytest.fixture(params=LAYERS)
def name(request):
    return request.param


def _conv(name, **options):
    """As a Bottleneck of mmseg calls it."""
    arguments = dict(kernel_size=3, stride=1, padding=1, dilation=1, bias=False) | options
    return build_conv_layer(dict(type=f'mmseg_attn.{name}', **LAYERS[name][2]), 8, 8, **arguments)


def _backbone(name, **options):
    return dict(dict(
        type='ResNetV1c', depth=50, stem_channels=8, base_channels=8, strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4),
        dcn=dict(type=f'mmseg_attn.{name}', **LAYERS[name][2]), stage_with_dcn=(False, True, True, True)), **options)


def test_is_the_block_with_the_arguments_of_a_convolution(name):
    cls, block, options = LAYERS[name]
    conv = randomize(_conv(name, stride=2, dilation=2)).double()
    assert type(conv) is cls is getattr(mmseg_attn, name)
    expected = block(8, out_channels=8, stride=2, dilation=2, **options, **({} if name != 'LocalRelation' else
                                                                            dict(bias=False))).double()
    expected.load_state_dict(conv.state_dict())
    x = torch.randn(2, 8, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(conv(x), expected(x))


@pytest.mark.parametrize('size', [(1, 1), (1, 8), (7, 5), (8, 3)], ids=str)
@pytest.mark.parametrize('stride', [1, 2, (2, 2)])
def test_output_has_the_size_of_a_padded_convolution(name, stride, size):
    x = torch.randn(2, 8, *size)
    expected = nn.Conv2d(8, 8, 3, stride, padding=1)(x).shape
    assert _conv(name, stride=stride)(x).shape == expected


def test_only_the_3x3_of_the_stages_are_replaced(name):
    backbone = MODELS.build(_backbone(name))
    found = {key for key, module in backbone.named_modules() if isinstance(module, LAYERS[name][0])}
    assert found == {f'layer{stage}.{i}.conv2' for stage, count in ((2, 4), (3, 6), (4, 3)) for i in range(count)}
    convs = backbone.layer2[0].conv2, backbone.layer3[1].conv2, backbone.layer4[1].conv2
    assert [conv.stride for conv in convs] == [2, 1, 1]
    assert [conv.options['dilation'] for conv in convs] == [1, 2, 4]
    keys = {key.removeprefix('layer3.1.conv2.') for key in backbone.state_dict() if key.startswith('layer3.1.conv2.')}
    assert keys == set(_conv(name).state_dict())


@pytest.mark.filterwarnings('ignore:torch.utils.checkpoint')  # mmseg leaves an argument to PyTorch
@pytest.mark.parametrize('with_cp', [False, True])
def test_a_backbone_trains_on_odd_sizes(name, with_cp):
    backbone = randomize(MODELS.build(_backbone(name, with_cp=with_cp)))
    backbone.train()
    outs = backbone(torch.randn(2, 3, 65, 97, requires_grad=True))
    assert [tuple(out.shape[2:]) for out in outs] == [(17, 25), (9, 13), (9, 13), (9, 13)]
    sum(out.square().mean() for out in outs).backward()
    for key, parameter in backbone.named_parameters():
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any() or 'prior.2.bias' in key, key  # the softmax does not feel it


def test_initial_values_of_a_resnet(name):
    """They set every convolution by Kaiming's rule, also inside of the layer."""
    backbone = MODELS.build(_backbone(name, zero_init_residual=False))
    before = {key: value.clone() for key, value in backbone.state_dict().items() if 'embedding' in key}
    backbone.init_weights()
    assert all(torch.equal(backbone.state_dict()[key], value) for key, value in before.items())
    for module in backbone.modules():
        if isinstance(module, LAYERS[name][0]):
            assert all(parameter.std() > 0 for key, parameter in module.named_parameters() if 'bias' not in key)
    backbone.train()
    for out in backbone(torch.randn(2, 3, 65, 65)):
        assert 0.1 < out.std() < 10


def test_autocast_stays_close(name):
    backbone = randomize(MODELS.build(_backbone(name, num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1, ),
                                                stage_with_dcn=(True, True))), std=0.2)
    images = torch.randn(2, 3, 65, 65)
    expected, = backbone(images)
    with torch.autocast('cpu', torch.bfloat16):
        out, = backbone(images)
    out.float().square().mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in backbone.parameters())
    assert (out.float() - expected).abs().mean() < 0.1 * expected.std()


@pytest.mark.parametrize('config', ['fcn_lrnet_r50_shapes', 'fcn_sasa_r50_shapes'])
def test_a_training_step_of_a_config_reaches_every_parameter(config):
    model = randomize(MODELS.build(Config.fromfile(configs_folder() / f'{config}.py').model)).train()
    assert sum(isinstance(module, (LocalRelation, StandAloneSelfAttention)) for module in model.modules()) == 7
    model._forward(torch.randn(2, 3, 33, 47)).square().mean().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.any() or 'prior.2.bias' in key, key


@pytest.mark.parametrize(('options', 'message'), [
    (dict(groups=4), 'cannot take the place of a grouped convolution, got groups=4'),
    (dict(stride=(1, 2)), r'stride must be the same along both axes, got \(1, 2\)'),
    (dict(dilation=(1, 2)), r'dilation must be the same along both axes, got \(1, 2\)'),
    (dict(fallback_on_stride=True), 'leave fallback_on_stride out'),
])
def test_wrong_arguments(name, options, message):
    with pytest.raises(ValueError, match=message):
        _conv(name, **options)


def test_biases():
    assert _conv('LocalRelation', bias=True).out_conv.bias is not None
    assert _conv('LocalRelation').out_conv.bias is None
    with pytest.raises(ValueError, match='bias must be False'):
        _conv('StandAloneSelfAttention', bias=True)
