"""PSAHead against the official code and mmseg's head with copied weights."""

import pytest
import torch
from mmseg.models import PSAHead as MMSegPSAHead
from mmseg.models.decode_heads import psa_head
from torch import nn

from mmseg_attn.checkpoints.sources.mmseg import psanet_names
from mmseg_attn.checkpoints.sources.semseg import head_names
from mmseg_attn.models.heads import PSAHead
from tests.helpers import GOLDEN, assert_matches_golden, randomize, rename
from tests.naive import psanet as naive

TYPES = ('collect', 'distribute', 'bi-direction')


@pytest.mark.parametrize('name', ['bidirection', 'collect', 'distribute', 'bidirection_compact', 'collect_compact',
                                  'bidirection_nosoftmax_norm'])
def test_official_output_and_gradients(golden, name):
    official = golden(f'psanet_{name}')
    config = official['config']
    psa_type = TYPES[config['psa_type']]
    head = PSAHead(
        config['in_channels'], config['cls_channels'], num_classes=config['num_classes'], in_index=0,
        norm_cfg=dict(type='BN'), mid_channels=config['mid_channels'], mask_size=(config['mask_h'], config['mask_w']),
        psa_type=psa_type, compact=config['compact'], shrink_factor=config['shrink_factor'],
        normalization_factor=config['normalization_factor'], psa_softmax=config['psa_softmax'])
    assert_matches_golden(head, official, head_names(psa_type), call=lambda head, x: head([x]))


class PSAMask(nn.Module):
    """What mmcv's compiled op of this name computes."""

    def __init__(self, psa_type, mask_size):
        super().__init__()
        self.psa_type, self.mask_size = psa_type, mask_size

    def forward(self, x):
        out = torch.stack([naive.relative_to_absolute(m, self.mask_size) for m in x.permute(0, 2, 3, 1)])
        return (out.transpose(1, 2) if self.psa_type == 'collect' else out).unflatten(2, x.shape[-2:])


@pytest.mark.parametrize(('psa_type', 'size', 'shrink_factor', 'mask_size', 'compact'), [
    ('collect', (7, 9), 2, (7, 9), False), ('distribute', (8, 6), 2, (4, 4), False),
    ('bi-direction', (7, 6), 2, (3, 5), False), ('collect', (3, 4), 1, (5, 7), False),
    ('bi-direction', (7, 9), 2, (4, 5), True)], ids=str)
def test_mmseg_with_copied_weights(monkeypatch, psa_type, size, shrink_factor, mask_size, compact):
    monkeypatch.setattr(psa_head, 'PSAMask', PSAMask)
    arguments = dict(mask_size=mask_size, psa_type=psa_type, compact=compact, shrink_factor=shrink_factor,
                     in_index=0, num_classes=4, dropout_ratio=0, norm_cfg=dict(type='BN'))
    theirs = randomize(MMSegPSAHead(in_channels=6, channels=3, **arguments))
    ours = PSAHead(6, 3, mmseg_compatible=True, **arguments)
    names = psanet_names(psa_type)
    ours.load_state_dict(rename(theirs.state_dict(), names))
    x = [torch.randn(2, 6, *size)]
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x), **GOLDEN)
    for head in (ours, theirs):
        head.train()(x).square().mean().backward()
    gradients = rename({k: p.grad for k, p in theirs.named_parameters()}, names)
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours.get_parameter(name).grad, gradient, **GOLDEN, msg=name)


@pytest.mark.parametrize(('crop_size', 'mask_size'), [(465, (59, 59)), (705, (89, 89)), (769, (97, 97)),
                                                      ((512, 1024), (63, 127))], ids=str)
def test_the_mask_follows_from_the_crop(crop_size, mask_size):
    assert PSAHead(8, 4, num_classes=2, crop_size=crop_size).attention.mask_size == mask_size


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(mask_size=97, crop_size=465), r'mask_size=\(97, 97\) is larger than \(59, 59\)'),
    (dict(mask_size=5, crop_size=465, compact=True), r'compact mask for crop_size=465 has the size \(30, 30\)'),
    (dict(crop_size='465'), "crop_size must be a sequence of positive integers, got '465'"),
    (dict(crop_size=465, shrink_factor=0), 'shrink_factor must be a positive integer, got 0'),
    (dict(mask_size=(66, 66)), 'mmseg_compatible=True takes even ones')])
def test_a_mask_that_does_not_fit(wrong, message):
    with pytest.raises(ValueError, match=message):
        PSAHead(8, 4, num_classes=2, **wrong)


def test_neither_mask_nor_crop():
    with pytest.raises(ValueError, match='mask_size, or crop_size'):
        PSAHead(8, 4, num_classes=2)
