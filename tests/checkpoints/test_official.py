"""Whole official networks, converted: the logits of the official code."""

from pathlib import Path

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from mmseg_attn.checkpoints import Checkpoint, convert_checkpoint
from mmseg_attn.engine.launch import _replace_sync_bn
from mmseg_attn.registry import MODELS
from tests.checkpoints.weights import weights_by_formula

NAMES = ['emanet_r101_voc',
         *(pytest.param(name, marks=pytest.mark.slow) for name in (
             'psanet_r50_voc', 'ccnet_r101_cityscapes', 'danet_r101_cityscapes', 'ocnet_asp_r101_cityscapes',
             'ocnet_base_r101_cityscapes', 'ocnet_pyramid_r101_cityscapes', 'openseg_isanet_r101_cityscapes'))]


def build(conversion):
    init_default_scope('mmseg')
    cfg = ConfigDict(conversion.model, pretrained=None)
    _replace_sync_bn(cfg)
    model = MODELS.build(cfg)
    model.load_state_dict(conversion.state_dict)
    model.eval()
    model.backbone.eval()
    return model


def assert_same(ours, theirs):
    """To a ten-thousandth of the logits' standard deviation."""
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * theirs.std().item())


@torch.no_grad()
@pytest.mark.parametrize('name', NAMES)
def test_logits_are_the_official_ones(golden, name):
    official = golden(f'whole_{name}')
    weights = weights_by_formula(official['keys'], official['aliases'])
    conversion = convert_checkpoint(Checkpoint(Path(name), weights))
    assert conversion.config == f'official/{name}.py'
    assert conversion.overrides == {}
    model = build(conversion)
    features = model.extract_feat(official['input'])
    assert_same(model.decode_head(features), official['output'])
    if official['aux_output'] is not None:
        assert_same(model.auxiliary_head(features), official['aux_output'])


def test_every_tensor_is_accounted_for(golden):
    official = golden('whole_ocnet_pyramid_r101_cityscapes')
    weights = weights_by_formula(official['keys'], official['aliases'])
    conversion = convert_checkpoint(Checkpoint(Path('file'), weights, other_entries=['optimizer']))
    dropped = {name for name, _ in conversion.dropped}
    assert {theirs for theirs, _ in conversion.mapped} | dropped == {*weights, 'optimizer'}
    assert dropped == {*official['aliases'], 'optimizer'}


def test_inplace_abn_has_no_negative_weights(golden):
    """InPlaceABN multiplies by |weight| + 1e-5, so a change of sign changes nothing."""
    official = golden('whole_ccnet_r101_cityscapes')
    weights = weights_by_formula(official['keys'], official['aliases'])
    negated = {k: -v if k.endswith('weight') and v.ndim == 1 else v for k, v in weights.items()}
    ours, same = (convert_checkpoint(Checkpoint(Path('file'), w)).state_dict for w in (weights, negated))
    key = 'backbone.layer1.0.bn1.weight'
    torch.testing.assert_close(ours[key], weights['layer1.0.bn1.weight'] + 1e-5, rtol=0, atol=2e-7)
    assert all(torch.equal(ours[k], same[k]) for k in ours)
    plain = convert_checkpoint(Checkpoint(Path('file'), negated), inplace_abn=False).state_dict
    assert torch.equal(plain[key], negated['layer1.0.bn1.weight'])
