"""A network at several scales: the official numbers, losses and predictions, and what is refused."""

import copy
import re

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_attn.benchmark.flops import count_flops
from mmseg_attn.models import MultiScaleEncoderDecoder
from mmseg_attn.ops.scale_fusion import hierarchical_weights, resize, scaled_size
from mmseg_attn.registry import MODELS
from tests.helpers import assert_matches_golden, randomize

SIZE = (65, 97)
CLASSES = 5
THREE = (0.5, 1.0, 2.0)
SLIDE = dict(mode='slide', crop_size=(33, 49), stride=(20, 30))
FUSIONS = [dict(test_scales=THREE), dict(fusion='softmax')]
HEADS = [dict(type='mmseg_attn.NLHead'), dict(type='mmseg_attn.EMAHead', ema_channels=16, num_bases=4),
         dict(type='FCNHead', num_convs=1),
         dict(type='mmseg_attn.NLHead', upsample_features=dict(type='mmseg_attn.CARAFE', scale_factor=2)),
         dict(type='mmseg_attn.NLHead', upsample_logits=dict(type='mmseg_attn.CARAFE', scale_factor=2)),
         dict(type='SegformerHead', in_channels=[16], in_index=[0]), dict(type='mmseg_attn.NLHead', align_corners=True)]


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmseg')


def config(head=HEADS[0], **options) -> ConfigDict:
    norm_cfg = dict(type='BN')
    return ConfigDict(dict(
        type='mmseg_attn.MultiScaleEncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', size=SIZE),
        backbone=dict(type='ResNetV1c', depth=18, base_channels=16, stem_channels=8, num_stages=1, strides=(1, ),
                      dilations=(1, ), out_indices=(0, ), norm_cfg=norm_cfg),
        decode_head=dict(in_channels=16, in_index=0, channels=16, num_classes=CLASSES, norm_cfg=norm_cfg) | head,
        attention_channels=8, test_cfg=dict(mode='whole')) | options)


def model(head=HEADS[0], **options) -> MultiScaleEncoderDecoder:
    return randomize(MODELS.build(config(head, **options)), std=0.2).eval()


def samples(count: int = 2) -> list[SegDataSample]:
    return [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, CLASSES, (1, *SIZE))),
                          metainfo=dict(ori_shape=SIZE, img_shape=SIZE)) for _ in range(count)]


# NVIDIA's network, with the official weights.

class Official(BaseDecodeHead):
    """NVIDIA's classifier, which like its attention reads the features of the backbone."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        layers: list[nn.Module] = []
        for channels in (6, 8):
            layers += [nn.Conv2d(channels, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
        self.conv_seg = nn.Sequential(*layers, nn.Conv2d(8, self.out_channels, 1, bias=False))

    def forward(self, inputs):
        return self.cls_seg(inputs[0])


class Trunk(nn.Module):

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 5, stride=4, padding=2)

    def forward(self, x):
        return [self.conv(x).relu()]


def official(**options) -> MultiScaleEncoderDecoder:
    head = dict(type=Official, in_channels=6, channels=6, in_index=0, num_classes=4, dropout_ratio=0,
                norm_cfg=dict(type='BN'))
    return MODELS.build(config(head, backbone=dict(type=Trunk), **options))


@pytest.mark.parametrize(('name', 'scales'), [('train2', (0.5, 1.0)), ('3scales', (1.0, 2.0, 0.5))])
def test_logits_and_gradients_are_the_official_ones(golden, name, scales):
    names = {'backbone': 'backbone', 'cls_head': 'decode_head.conv_seg', 'scale_attn.conv2': 'scale_fusion.out_conv',
             'scale_attn.conv0': 'scale_fusion.convs.0.conv', 'scale_attn.bn0': 'scale_fusion.convs.0.bn',
             'scale_attn.conv1': 'scale_fusion.convs.1.conv', 'scale_attn.bn1': 'scale_fusion.convs.1.bn'}
    assert_matches_golden(official(test_scales=scales), golden(f'scale_attention_nvidia_{name}'), names)


class OneByOne(BaseDecodeHead):

    def forward(self, inputs):
        return self.cls_seg(inputs[0])


def test_the_softmax_over_scales_gives_the_logits_and_gradients_of_its_formula(golden):
    head = dict(type=OneByOne, in_channels=6, channels=6, in_index=0, num_classes=4, dropout_ratio=0,
                align_corners=True)
    network = MODELS.build(config(head, backbone=dict(type=Trunk), fusion='softmax', attention_channels=8))
    names = {'backbone': 'backbone.conv', 'classifier': 'decode_head.conv_seg', 'attention.0': 'scale_fusion.conv.conv',
             'attention.2': 'scale_fusion.out_conv'}
    assert_matches_golden(network, golden('scale_attention_chen2'), names)


# Training.

@pytest.mark.parametrize('head', HEADS, ids=str)
@pytest.mark.parametrize('options', FUSIONS, ids=str)
def test_a_training_step_reaches_every_parameter(head, options):
    network = model(head, **options).train()
    losses = network.loss(torch.randn(2, 3, *SIZE), samples())
    assert list(losses) == [f'{part}.{name}' for part in ('decode', 'scale_0.5', 'scale_1')
                            for name in ('loss_ce', 'acc_seg')]
    total, _ = network.parse_losses(losses)
    total.backward()
    for name, parameter in network.named_parameters():
        fixed = head['type'] == 'mmseg_attn.EMAHead' and 'decode_head.attention.in_conv' in name
        assert fixed or (parameter.grad.isfinite().all() and parameter.grad.abs().sum() > 0), name


def test_losses_are_those_of_fused_and_single_logits():
    network, images, labels = model(supervision=0.3), torch.randn(2, 3, *SIZE), samples()
    small = resize(images, (32, 48))
    logits, features = {}, {}
    network.decode_head.conv_seg.register_forward_pre_hook(lambda _, inputs: features.update(last=inputs[0]))
    for scale, at in ((0.5, small), (1, images)):
        logits[scale] = resize(network.decode_head(network.extract_feat(at)), at.shape[2:])
        if scale < 1:
            attention = network.scale_fusion.out_conv(network.scale_fusion.convs(features['last'])).sigmoid()
            attention = resize(attention, at.shape[2:])
    fused = resize(attention * logits[0.5], SIZE) + (1 - resize(attention, SIZE)) * logits[1]
    losses = network.loss(images, labels)
    for part, weight, own in (('decode', 1, fused), ('scale_0.5', 0.3, logits[0.5]), ('scale_1', 0.3, logits[1])):
        expected = network.decode_head.loss_by_feat(own, labels)
        torch.testing.assert_close(losses[f'{part}.loss_ce'], weight * expected['loss_ce'])
        torch.testing.assert_close(losses[f'{part}.acc_seg'], expected['acc_seg'])


@pytest.mark.parametrize(('options', 'weight'), [(dict(), 0.05), (dict(fusion='softmax'), 1), (dict(supervision=2), 2)])
def test_the_weight_of_the_single_scales(options, weight):
    network, images, labels = model(**options), torch.randn(1, 3, *SIZE), samples(1)
    expected = network.decode_head.loss(network.extract_feat(images), labels, None)['loss_ce']
    torch.testing.assert_close(network.loss(images, labels)['scale_1.loss_ce'], weight * expected, rtol=1e-3, atol=0)
    network.supervision = 0
    assert list(network.loss(images, labels)) == ['decode.loss_ce', 'decode.acc_seg']


def test_auxiliary_heads_see_the_features_at_scale_1():
    head = dict(type='FCNHead', in_channels=16, in_index=0, channels=8, num_convs=1, num_classes=CLASSES)
    for auxiliary, prefixes in ((head, ['aux']), ([head, head], ['aux_0', 'aux_1'])):
        network = model(auxiliary_head=auxiliary, train_scales=(0.5, 1, 1.5))
        images, labels = torch.randn(2, 3, *SIZE), samples()
        losses = network.loss(images, labels)
        for i, prefix in enumerate(prefixes):
            own = network.auxiliary_head[i] if isinstance(auxiliary, list) else network.auxiliary_head
            expected = own.loss(network.extract_feat(images), labels, None)['loss_ce']
            torch.testing.assert_close(losses[f'{prefix}.loss_ce'], expected)


def test_the_norms_of_the_attention_see_all_scales_of_a_training():
    network = model().train()
    network.loss(torch.randn(2, 3, *SIZE), samples())
    assert {int(conv.bn.num_batches_tracked) for conv in network.scale_fusion.convs} == {2}


def test_three_scales_in_training():
    network = model(train_scales=[1, 0.75, 1.5]).train()
    assert network.train_scales == network.test_scales == (1.5, 1.0, 0.75)
    losses = network.loss(torch.randn(2, 3, *SIZE), samples())
    assert [name for name in losses if 'loss' in name] == [
        'decode.loss_ce', 'scale_0.75.loss_ce', 'scale_1.loss_ce', 'scale_1.5.loss_ce']


# Prediction.

@pytest.mark.parametrize('options', FUSIONS, ids=str)
@pytest.mark.parametrize('head', HEADS, ids=str)
@torch.no_grad()
def test_a_single_image_of_any_size(head, options):
    network = model(head, **options)
    for size in (SIZE, (33, 16)):
        sample, = network.predict(torch.randn(1, 3, *size))
        assert sample.seg_logits.data.shape == (CLASSES, *size)
        assert sample.seg_logits.data.isfinite().all()


@pytest.mark.parametrize('options', FUSIONS, ids=str)
@torch.no_grad()
def test_images_do_not_depend_on_each_other(options):
    network, images = model(**options), torch.randn(3, 3, *SIZE)
    alone, = network.predict(images[1:2])
    torch.testing.assert_close(network.predict(images)[1].seg_logits.data, alone.seg_logits.data)


@torch.no_grad()
def test_sliding_windows_are_whole_images_one_by_one():
    network, images = model(test_cfg=SLIDE | dict(crops_per_batch=3), test_scales=THREE), torch.randn(2, 3, *SIZE)
    total, count = torch.zeros(2, CLASSES, *SIZE), torch.zeros(SIZE)
    weights = torch.zeros(2, 3, *SIZE)
    whole = copy.deepcopy(network)
    whole.test_cfg = ConfigDict(mode='whole')
    for top in (0, 20, 32):
        for left in (0, 30, 48):
            crop = images[:, :, top:top + 33, left:left + 49]
            total[:, :, top:top + 33, left:left + 49] += whole._forward(crop)
            weights[:, :, top:top + 33, left:left + 49] += torch.stack(whole.scale_weights(crop))
            count[top:top + 33, left:left + 49] += 1
    found = network.predict(images)
    torch.testing.assert_close(torch.stack([sample.seg_logits.data for sample in found]), total / count)
    torch.testing.assert_close(torch.stack(network.scale_weights(images)), weights / count)


@torch.no_grad()
def test_other_scales_in_testing_than_in_training():
    network = model(test_scales=THREE)
    images = torch.randn(1, 3, *SIZE)
    three = network._forward(images)
    network.test_scales = (1.0, 0.5)
    assert not torch.allclose(three, network._forward(images))
    assert torch.equal(network._forward(images), model_like(network, test_scales=(0.5, 1.0))._forward(images))


def model_like(network, **options):
    other = MODELS.build(config(**options)).eval()
    other.load_state_dict(network.state_dict())
    return other


@torch.no_grad()
def test_with_one_scale_that_is_certain_it_is_the_plain_network():
    network = model()
    # With an attention of zero the scale 0.5 does not count.
    network.scale_fusion.attention = lambda features: torch.zeros_like(features[:, :1])
    cfg = config(type='mmseg_attn.EncoderDecoder')
    del cfg.attention_channels
    plain = MODELS.build(cfg)
    plain.load_state_dict({name: value for name, value in network.state_dict().items() if 'scale_fusion' not in name})
    images, metas = torch.randn(2, 3, *SIZE), [dict(img_shape=SIZE)] * 2
    torch.testing.assert_close(network.encode_decode(images, metas), plain.eval().encode_decode(images, metas))


@pytest.mark.parametrize('options', FUSIONS, ids=str)
@torch.no_grad()
def test_the_weights_of_the_scales(options):
    network, images = model(**options), torch.randn(2, 3, *SIZE)
    weights = torch.stack(network.scale_weights(images))
    assert weights.shape == (2, len(network.test_scales), *SIZE)
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2, *SIZE))
    assert weights.std(dim=(2, 3)).min() > 0
    # Logits that differ from scale to scale and nowhere else are fused by these weights.
    values = {scale: float(i) for i, scale in enumerate(network.test_scales)}
    prediction = network.scale_fusion.prediction

    def constant(scale, features, logits, size, is_highest):
        found = prediction(scale, features, logits, size, is_highest)
        return found._replace(logits=torch.full_like(found.logits, values[scale]))
    network.scale_fusion.prediction = constant
    fused = resize(network._forward(images), SIZE)[:, 0]
    torch.testing.assert_close(fused, sum(weights[:, i] * i for i in range(len(values))))


@torch.no_grad()
def test_the_weights_lie_on_the_original_image():
    network, images = model(), torch.randn(1, 3, 72, 104)
    meta = dict(ori_shape=(33, 49), img_padding_size=(0, 7, 0, 7), flip=True, flip_direction='horizontal')
    found, = network.scale_weights(images, [SegDataSample(metainfo=meta)])
    expected = network.scale_weights(images)[0][:, :65, :97].flip(2)
    torch.testing.assert_close(found, resize(expected[None], (33, 49))[0])


@torch.no_grad()
def test_the_attention_reads_what_the_classifier_reads():
    network, images = model(test_scales=THREE), torch.randn(1, 3, *SIZE)
    read, attention = {}, {}
    network.decode_head.conv_seg.register_forward_pre_hook(lambda _, inputs: read.update(last=inputs[0]))
    for scale in (2.0, 1.0, 0.5):
        size = scaled_size(SIZE, scale)
        network.decode_head(network.extract_feat(images if scale == 1 else resize(images, size)))
        attention[scale] = resize(network.scale_fusion.attention(read['last']), size)
    torch.testing.assert_close(network.scale_weights(images)[0], hierarchical_weights(attention.items())[0])


@torch.no_grad()
def test_a_copy_reads_its_own_classifier():
    network, images = model(), torch.randn(1, 3, *SIZE)
    expected = network._forward(images)
    other = copy.deepcopy(network)
    for parameter in other.decode_head.parameters():
        parameter.zero_()
    assert torch.equal(network._forward(images), expected)
    assert not torch.equal(other._forward(images), expected)
    assert other.scale_weights(images)[0].std() != network.scale_weights(images)[0].std()


@pytest.mark.parametrize('options', FUSIONS, ids=str)
def test_state_dict_round_trip(options):
    network, other = model(**options), model(**options)
    assert all(name.split('.')[0] in ('backbone', 'decode_head', 'scale_fusion') for name in network.state_dict())
    other.load_state_dict(network.state_dict())
    images = torch.randn(1, 3, *SIZE)
    assert torch.equal(network._forward(images), other._forward(images))


@pytest.mark.parametrize('options', FUSIONS, ids=str)
def test_under_autocast(options):
    network, images = model(**options), torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        expected = network._forward(images)
        with torch.autocast('cpu', torch.bfloat16):
            found = network._forward(images)
    assert found.dtype == torch.float32
    assert (found - expected).norm() < 0.05 * expected.norm()
    with torch.autocast('cpu', torch.bfloat16):
        losses = network.train().loss(images, samples())
    network.parse_losses(losses)[0].backward()
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_flops_are_those_of_all_scales():
    network = model(test_scales=THREE)
    found, alone = (count_flops(part, [(1, 3, 32, 32)]) for part in (network, network.backbone))
    assert found['backbone'] == 5.25 * alone['']
    # The highest scale has no attention. The features of the others have 8 x 8 and 4 x 4 cells.
    assert found['scale_fusion.convs'] == (64 + 16) * 9 * (16 * 8 + 8 * 8)


@pytest.mark.slow
def test_compiling_and_channels_last():
    network, images = model(test_scales=THREE), torch.randn(1, 3, *SIZE)
    with torch.no_grad():
        expected = network(images)
        compiled = torch.compile(network, fullgraph=True, backend='aot_eager')
        torch.testing.assert_close(compiled(images), expected, rtol=1e-4, atol=1e-4)
        moved = network.to(memory_format=torch.channels_last)
        torch.testing.assert_close(moved(images), expected, rtol=1e-4, atol=1e-4)


# What is refused.

@pytest.mark.parametrize(('options', 'message'), [
    (dict(fusion='mean'), "fusion must be one of ('hierarchical', 'softmax'), got 'mean'"),
    (dict(train_scales=(0.5, 2.0)), 'train_scales=(0.5, 2.0) must have 1.0 among them'),
    (dict(test_scales=(0.5, 2.0)), 'test_scales=(0.5, 2.0) must have 1.0 among them'),
    (dict(train_scales=(1.0, )), 'train_scales must be at least two scales, such as (0.5, 1.0), got (1.0,)'),
    (dict(train_scales=1.0), 'train_scales must be at least two scales, such as (0.5, 1.0), got 1.0'),
    (dict(test_scales=(0.5, 1.0, 0.5)), 'test_scales=(0.5, 1.0, 0.5) has a scale twice'),
    (dict(train_scales=(0, 1.0)), 'train_scales=(0, 1.0) must be factors above 0, got 0'),
    (dict(train_scales=(1.0, '2')), "train_scales=(1.0, '2') must be factors above 0, got '2'"),
    (dict(train_scales=(1.0, float('inf'))), 'must be factors above 0, got inf'),
    (dict(train_scales=(1.0, float('nan'))), 'must be factors above 0, got nan'),
    (dict(fusion='softmax', test_scales=THREE), "must be train_scales=(1.0, 0.5) with fusion='softmax'"),
    (dict(attention_channels=0), 'attention_channels must be a positive integer, got 0'),
    (dict(supervision=-1), 'supervision must be a weight of at least 0, got -1'),
    (dict(supervision='half'), "supervision must be a weight of at least 0, got 'half'"),
    (dict(decode_head=[config().decode_head] * 2), 'takes one decode head, got a cascade of 2')], ids=str)
def test_wrong_values_are_named(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MODELS.build(config(**options))


@pytest.mark.parametrize(('head', 'message'), [
    (dict(type='mmseg_attn.DAHead', pam_channels=4), 'DAHead has a loss of its own'),
    (dict(type='DAHead', pam_channels=4), 'DAHead has a predict of its own'),
    (dict(type='EncHead', in_channels=[16], in_index=[0], num_codes=4), 'EncHead has a predict of its own'),
    (dict(type='OCRHead', ocr_channels=4), 'no part of a cascade, got OCRHead'),
    (dict(type='SegmenterMaskTransformerHead', num_layers=1, num_heads=2, embed_dims=16),
     'SegmenterMaskTransformerHead has no conv_seg')], ids=str)
def test_heads_that_do_not_fit_are_named(head, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        MODELS.build(config(head))


def test_a_head_that_does_not_call_its_classifier_is_named():
    class Twice(Official):

        def forward(self, inputs):
            return self.cls_seg(inputs[0]) + self.cls_seg(inputs[0])
    network = official()
    network.decode_head.__class__ = Twice
    with pytest.raises(ValueError, match='Twice gives Tensor of 2 calls of conv_seg'):
        network(torch.randn(1, 3, 16, 24))


@pytest.mark.parametrize('name', ['emanet_r18_mscale_shapes', 'emanet_r50_mscale_cityscapes'])
def test_the_configs(name):
    cfg = Config.fromfile(f'configs/{name}.py')
    assert cfg.model.train_scales == (0.5, 1.0)
    assert cfg.model.test_scales == (0.5, 1.0, 2.0)
