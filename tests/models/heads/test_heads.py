"""What every head promises: one battery over all AttentionHeads in the registry."""

import pytest
import torch
from mmcv.cnn import ConvModule
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmseg_attn.models.heads import base
from mmseg_attn.models.heads.base import AttentionHead, ConcatConv
from mmseg_attn.registry import MODELS
from tests.attention.blocks import HEADS as SMALL
from tests.helpers import randomize
from tests.models.heads.variants import HEADS, VARIANTS, build_head, stage_features


def test_every_head_is_here():
    """Also one that its test declares and heads/__init__.py forgets, or the other way round."""
    assert {name for name, cls in MODELS.module_dict.items()
            if isinstance(cls, type) and issubclass(cls, AttentionHead)} == set(HEADS)


@pytest.fixture(params=VARIANTS, ids=lambda v: f'{v[0]}-{"-".join(f"{k}={x}" for k, x in v[1].items())}')
def head(request):
    return build_head(*request.param)


@pytest.mark.parametrize('size', [(1, 1), (9, 13), (16, 3)], ids=str)
def test_logits(head, size):
    assert head.eval()(stage_features(2, *size)).shape == (2, 5, *size)


@pytest.mark.parametrize(('name', 'variant'), VARIANTS, ids=str)
def test_logits_on_the_meta_device(name, variant):
    with torch.device('meta'):
        logits = build_head(name, variant).eval()(stage_features())
    assert (logits.device.type, logits.shape) == ('meta', (2, 5, 9, 13))


def test_loss_reaches_every_trainable_parameter(head):
    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, 72, 104)))) for _ in range(2)]
    losses = head.train().loss(stage_features(), samples, train_cfg=None)
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    for name, parameter in head.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_predictions_have_the_size_of_the_image(head):
    metas = [dict(img_shape=(70, 100), pad_shape=(72, 104))] * 2
    assert head.eval().predict(stage_features(), metas, test_cfg=None).shape == (2, 5, 72, 104)


@pytest.mark.parametrize('name', HEADS)
def test_logits_of_half_precision_are_resized_in_float32(name):
    head = build_head(name, SMALL[name][0]).eval()
    features, metas = stage_features(1), [dict(img_shape=(70, 100), pad_shape=(72, 104))]
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        logits = head(features)
        assert logits.dtype == torch.bfloat16
        out = head.predict(features, metas, test_cfg=None)
    torch.testing.assert_close(out, head.predict_by_feat(logits.float(), metas), rtol=0, atol=0)

    samples = [SegDataSample(gt_sem_seg=PixelData(data=torch.randint(0, 5, (1, 72, 104))))]
    logits, exact = ([convert(x) for x in (logits, logits + 1, logits + 2)] if name == 'DAHead' else convert(logits)
                     for convert in (torch.clone, torch.Tensor.float))
    losses, expected = head.loss_by_feat(logits, samples), head.loss_by_feat(exact, samples)
    for key, value in expected.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(losses[key], value, rtol=0, atol=0)


def test_attention_map(head):
    weights = head.eval().attention_map(stage_features(), torch.tensor([[0, 0], [8, 12]]))
    assert weights.shape == (2, 2, 9, 13)
    with torch.autocast('cpu', torch.bfloat16):
        assert head.attention_map(stage_features(), torch.tensor([[0, 0]])).dtype == torch.float32
    with pytest.raises(RuntimeError, match='evaluation mode'):
        head.train().attention_map(stage_features(), torch.tensor([[0, 0]]))


def test_the_logits_are_the_same_with_and_without_gradients(head):
    head, features = head.eval().double(), [x.double() for x in stage_features()]
    expected = head(features)
    with torch.no_grad():
        torch.testing.assert_close(head(features), expected.detach(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('name', HEADS)
def test_without_a_norm(name):
    head = build_head(name, SMALL[name][0], norm_cfg=None)
    assert not [m for m in head.modules() if 'Norm' in type(m).__name__]
    head, features = head.eval().double(), [x.double() for x in stage_features()]
    expected = head(features)
    assert expected.shape == (2, 5, 9, 13)
    with torch.no_grad():
        torch.testing.assert_close(head(features), expected.detach(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('options', [
    dict(), dict(norm_cfg=dict(type='BN')), dict(act_cfg=None), dict(stride=2), dict(dilation=2, padding=2),
    dict(groups=2), dict(padding=2, padding_mode='reflect'), dict(with_spectral_norm=True)], ids=str)
@torch.no_grad()
def test_a_convolution_of_parts_is_that_of_their_concatenation(monkeypatch, options):
    monkeypatch.setattr(base, 'MAX_CONV_CHANNELS', 3)
    parts = [torch.randn(2, channels, 5, 7, dtype=torch.float64) for channels in (4, 1, 7)]
    conv = randomize(ConcatConv(12, 6, 3, **dict(padding=1) | options)).double().eval()
    torch.testing.assert_close(conv(*parts), ConvModule.forward(conv, torch.cat(parts, dim=1)))


@pytest.mark.parametrize('name', HEADS)
def test_out_channels_of_binary_segmentation(name):
    head = build_head(name, SMALL[name][0], num_classes=2, out_channels=1, threshold=0.5)
    assert head.eval()(stage_features()).shape == (2, 1, 9, 13)


@pytest.mark.parametrize('name', HEADS)
def test_a_conv_cfg_that_does_not_reach_the_block(name):
    build_head(name, SMALL[name][0], conv_cfg=dict(type='Conv2d'))
    if name not in ('CCHead', 'DAHead'):  # tests/checkpoints/test_mmseg.py compares these with mmseg's
        with pytest.raises(ValueError, match=rf"conv_cfg={{'type': 'ConvWS'}} would not reach .* {name}"):
            build_head(name, SMALL[name][0], conv_cfg=dict(type='ConvWS'))


@pytest.mark.parametrize('name', HEADS)
def test_a_misspelt_argument_is_an_error(name):
    with pytest.raises(TypeError, match='num_basis'):
        build_head(name, SMALL[name][0], num_basis=3)
