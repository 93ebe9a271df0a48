"""BN folded into convolutions, and channels last in memory: the same predictions."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from mmseg_attn.common.errors import UserError
from mmseg_attn.models.fusing import fuse_conv_bn
from mmseg_attn.registry import MODELS
from tests.helpers import randomize
from tests.models.heads.variants import VARIANTS

SIZE = (30, 44)


def _config(name: str, **head) -> Config:
    return Config(dict(model=dict(
        type='mmseg_attn.EncoderDecoder', data_preprocessor=dict(type='SegDataPreProcessor', size=SIZE),
        backbone=dict(type='mmseg.ResNetV1c', depth=18, base_channels=4, stem_channels=4, num_stages=1, strides=(1, ),
                      dilations=(1, ), out_indices=(0, ), norm_cfg=dict(type='BN')),
        decode_head=dict(type=name, in_channels=4, in_index=0, channels=8, num_classes=5,
                         norm_cfg=dict(type='BN')) | head, test_cfg=dict(mode='whole'))))


def _model(cfg: Config) -> nn.Module:
    init_default_scope('mmseg')
    torch.manual_seed(0)
    return randomize(MODELS.build(cfg.model)).double().eval()


def _norms(model: nn.Module) -> int:
    return sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())


@pytest.mark.parametrize(('name', 'variant'), VARIANTS, ids=str)
@torch.no_grad()
def test_predictions_stay_the_same(name, variant):
    cfg = _config(f'mmseg_attn.{name}', **variant)
    model, image, metas = _model(cfg), torch.randn(2, 3, *SIZE, dtype=torch.float64), [dict(img_shape=SIZE)] * 2
    expected, norms = model.encode_decode(image, metas), _norms(model)
    assert fuse_conv_bn(model, cfg) == norms - _norms(model)
    assert _norms(model) <= 1
    out = model.encode_decode(image, metas)
    torch.testing.assert_close(out / expected.abs().max(), expected / expected.abs().max(), rtol=0, atol=1e-12)


@pytest.mark.parametrize('name', sorted({name for name, _ in VARIANTS}))
@torch.no_grad()
def test_channels_last(name):
    variant = next(variant for other, variant in VARIANTS if other == name)
    model, image = _model(_config(f'mmseg_attn.{name}', **variant)), torch.randn(2, 3, *SIZE, dtype=torch.float64)
    expected = model.encode_decode(image, [dict(img_shape=SIZE)] * 2)
    model.to(memory_format=torch.channels_last)
    torch.testing.assert_close(model.encode_decode(image, [dict(img_shape=SIZE)] * 2), expected)


class NormFirst(nn.Module):
    """As mmcv sees it, a convolution and its norm."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.last = nn.Conv2d(3, 5, 1)

    def encode_decode(self, image, metas):
        return self.last(self.conv(self.norm(image)))


def test_norms_before_their_convolutions_are_refused():
    with pytest.raises(UserError, match=r'would change what this model predicts, by .*Leave the option out'):
        fuse_conv_bn(randomize(NormFirst()).eval(), _config('FCNHead'))


def test_a_norm_of_another_width_is_refused():
    model = randomize(NormFirst())
    model.norm = nn.BatchNorm2d(5)
    model.encode_decode = lambda image, metas: model.conv(image)
    with pytest.raises(UserError, match=r'does not work for this model.*Leave the option out'):
        fuse_conv_bn(model.eval(), _config('FCNHead'))


def test_the_dtype_stays():
    cfg = _config('FCNHead')
    model = _model(cfg).float()
    fuse_conv_bn(model, cfg)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
