"""Small networks of mmsegmentation."""

import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmseg.models.decode_heads import cc_head, psa_head
from mmseg.registry import MODELS as MMSEG_MODELS
from torch import nn

from tests.helpers import randomize
from tests.models.heads.test_ccnet import CrissCrossEquation
from tests.models.heads.test_psanet import PSAMask

DEFAULTS = {
    'PSAHead': dict(mask_size=(97, 97)), 'DAHead': dict(pam_channels=6), 'CCHead': dict(),
    'ISAHead': dict(isa_channels=6), 'APCHead': dict(), 'EMAHead': dict(ema_channels=12, num_bases=7, num_stages=3),
    'NLHead': dict()}
NORM = dict(type='BN', requires_grad=True)


class _Scale(nn.Module):

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.))

    def forward(self, x):
        return self.scale * x


class CrissCrossAttention(CrissCrossEquation):
    """With the parameters of mmcv's own module."""

    def __init__(self, channels):
        super().__init__(channels)
        del self.gamma
        self.gamma = _Scale()

    def forward(self, x):
        return self.gamma(self.context(x)) + x


def without_compiled_ops(monkeypatch):
    """mmseg's heads in place of what needs mmcv with compiled operations."""
    init_default_scope('mmseg')
    monkeypatch.setattr(psa_head, 'PSAMask', PSAMask)
    monkeypatch.setattr(cc_head, 'CrissCrossAttention', CrissCrossAttention)


def build_theirs(type_, backbone='ResNetV1c', both=None, **arguments):
    """Its config and the network, with random weights.

    Args:
        type_: of the decode head.
        backbone: its type.
        both: arguments of the decode head and of the auxiliary head.
        arguments: of the decode head.
    """
    both = dict(num_classes=5, norm_cfg=NORM) | (both or {})
    model = dict(
        type='EncoderDecoder',
        data_preprocessor=dict(type='SegDataPreProcessor', mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], bgr_to_rgb=False),
        backbone=dict(
            type=backbone, depth=18, base_channels=8, stem_channels=8, num_stages=4, out_indices=(0, 1, 2, 3),
            dilations=(1, 1, 2, 4), strides=(1, 2, 1, 1), norm_cfg=NORM, contract_dilation=True),
        decode_head=dict(type=type_, in_channels=64, in_index=3, channels=16, **both, **arguments),
        auxiliary_head=dict(
            type='FCNHead', in_channels=32, in_index=2, channels=8, num_convs=1, concat_input=False, **both),
        train_cfg=dict(), test_cfg=dict(mode='whole'))
    theirs = randomize(MMSEG_MODELS.build(ConfigDict(model)), std=0.15)
    return model, theirs.eval()
