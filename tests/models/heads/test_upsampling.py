"""Upsamplers in the heads, on both sides of the classifier."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn

from mmseg_attn.models.heads import NLHead
from mmseg_attn.models.upsample import CARAFE
from tests.helpers import randomize

CARAFE_2 = dict(type='mmseg_attn.CARAFE', scale_factor=2, up_kernel=3, compressed_channels=4)
BILINEAR_2 = dict(type='bilinear', scale_factor=2, align_corners=False)
OPTIONS = [dict(upsample_features=CARAFE_2), dict(upsample_logits=CARAFE_2), dict(upsample_features=BILINEAR_2),
           dict(upsample_features=CARAFE_2, upsample_logits=CARAFE_2)]


def _head(**kwargs):
    return randomize(NLHead(in_channels=6, channels=4, num_classes=5, in_index=0, norm_cfg=dict(type='BN'), **kwargs))


@pytest.fixture(params=OPTIONS, ids=lambda options: '-'.join(f'{k}={v["type"]}' for k, v in options.items()))
def options(request):
    return request.param


@pytest.mark.parametrize('wrong', [dict(type='mmseg_attn.CARAFFE', scale_factor=2), dict(scale_factor=2),
                                   dict(type='mmseg_attn.CARAFE')])
def test_what_is_no_upsampler(wrong):
    with pytest.raises(ValueError, match='take an upsampler with its arguments'):
        _head(upsample_logits=wrong)


def test_logits_are_larger(options):
    assert _head(**options).eval()([torch.randn(2, 6, 7, 9)]).shape == (2, 5, 7 * 2**len(options), 9 * 2**len(options))


def test_loss_reaches_every_parameter(options):
    head = _head(**options).train()
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, 56, 72)))) for _ in range(2)]
    head.loss([torch.randn(2, 6, 7, 9)], samples, train_cfg=None)['loss_ce'].backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    if CARAFE_2 in options.values():
        encoders = [m.content_encoder for m in head.modules() if isinstance(m, CARAFE)]
        assert len(encoders) == len(options)
        assert all(encoder.weight.grad.any() for encoder in encoders)


def test_predictions_have_the_size_of_the_image(options):
    metas = [dict(img_shape=(55, 70), pad_shape=(56, 72))] * 2
    assert _head(**options).eval().predict([torch.randn(2, 6, 7, 9)], metas, test_cfg=None).shape == (2, 5, 56, 72)


def test_features_are_upsampled_before_the_classifier_and_logits_after_it():
    head = _head(upsample_features=CARAFE_2, upsample_logits=BILINEAR_2).eval()
    x = torch.randn(2, 6, 7, 9)
    logits = head.conv_seg(head.upsample_features(head.forward_feature(x)))
    expected = F.interpolate(logits, scale_factor=2, mode='bilinear', align_corners=False)
    torch.testing.assert_close(head([x]), expected)
    assert head.upsample_features.channel_compressor.in_channels == 4
    assert _head(upsample_logits=CARAFE_2).upsample_logits.channel_compressor.in_channels == 5


def test_none_by_default():
    assert {type(_head().upsample_features), type(_head().upsample_logits)} == {nn.Identity}


def test_carafe_needs_no_default_scope(monkeypatch):
    monkeypatch.setattr(DefaultScope, 'get_current_instance', lambda: None)
    assert type(_head(upsample_features=CARAFE_2).upsample_features) is CARAFE
