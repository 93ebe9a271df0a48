"""mmsegmentation's heads with every norm and activation, converted: the logits of mmseg's own head in float64."""

from itertools import product

import pytest
import torch
from mmengine.config import Config

from mmseg_attn.checkpoints import Checkpoint, convert_checkpoint
from mmseg_attn.checkpoints.config_text import text_of
from mmseg_attn.common.errors import UserError
from tests.checkpoints.mmseg_models import DEFAULTS, build_theirs, without_compiled_ops
from tests.checkpoints.test_official import build

HEADS = DEFAULTS | dict(PSAHead=dict(mask_size=(7, 7)))
NORMS = {
    'none': None, 'bn': dict(type='BN'), 'gn': dict(type='GN', num_groups=2), 'in': dict(type='IN'),
    'in_affine': dict(type='IN', affine=True), 'in_statistics': dict(type='IN', affine=True, track_running_stats=True)}
# What the weights leave open.
SAID = {'gn': {'norm_cfg.num_groups': 2}, 'in': {'norm_cfg.type': 'IN'}}
ACTS = {'relu': dict(type='ReLU'), 'prelu': dict(type='PReLU')}
# The official EMANet and ours add 1e-6 to what they divide by, mmseg's does not.
TOLERANCES = dict(EMAHead=1e-5)


@pytest.fixture(autouse=True)
def _without_compiled_ops(monkeypatch):
    without_compiled_ops(monkeypatch)


def _theirs(type_, norm='bn', act='relu', binary=False, **arguments):
    classes = dict(num_classes=2, out_channels=1) if binary else dict(num_classes=5)
    both = dict(norm_cfg=NORMS[norm], act_cfg=ACTS[act]) | classes
    return build_theirs(type_, both=both, **HEADS[type_], **arguments)


def _said(norm):
    return {f'model.{part}.{k}': v for part in ('decode_head', 'auxiliary_head')
            for k, v in SAID.get(norm, {}).items()}


@torch.no_grad()
def _assert_same(theirs, conversion, tolerance=1e-9):
    ours, theirs = build(conversion).double(), theirs.double()
    features = [torch.randn(2, channels, 9, 13, dtype=torch.float64) for channels in (8, 16, 32, 64)]
    for name in 'decode_head', 'auxiliary_head':
        expected = getattr(theirs, name)(features)
        expected = expected[0] if isinstance(expected, tuple) else expected
        torch.testing.assert_close(getattr(ours, name)(features), expected, rtol=0,
                                   atol=tolerance * expected.std().item())


def _check(type_, norm, act, binary, with_config):
    model, theirs = _theirs(type_, norm, act, binary)
    meta = dict(cfg=text_of(Config(dict(model=model)))) if with_config else {}
    settings = {} if with_config else _said(norm)
    conversion = convert_checkpoint(Checkpoint('file', theirs.state_dict(), meta), settings=settings)
    assert conversion.model['decode_head']['norm_cfg'] is None or norm != 'none'
    _assert_same(theirs, conversion, TOLERANCES.get(type_, 1e-9))


# APCHead's norms work on means over the image, of which IN leaves nothing.
FITTING = [(type_, norm) for type_, norm in product(HEADS, NORMS)
           if (type_, norm) not in (('APCHead', 'in'), ('APCHead', 'in_affine'))]


@pytest.mark.parametrize(('norm', 'act', 'binary', 'with_config'), [
    ('none', 'relu', False, True), ('gn', 'prelu', True, False)])
@pytest.mark.parametrize('type_', HEADS)
def test_logits(type_, norm, act, binary, with_config):
    _check(type_, norm, act, binary, with_config)


@pytest.mark.slow
@pytest.mark.parametrize(('type_', 'norm'), FITTING)
def test_logits_of_all(type_, norm):
    for act, binary, with_config in product(ACTS, (False, True), (False, True)):
        _check(type_, norm, act, binary, with_config)


@pytest.mark.parametrize(('norm', 'message'), [
    ('gn', r'do not tell the number of groups: give it as --cfg-options model\.{part}\.norm_cfg\.num_groups=32'),
    ('in', r'probably InstanceNorms: if so, say --cfg-options model\.{part}\.norm_cfg\.type=IN')])
def test_a_norm_that_the_weights_do_not_tell(norm, message):
    _, theirs = _theirs('DAHead', norm)
    checkpoint = Checkpoint('file', theirs.state_dict())
    for part in 'decode_head', 'auxiliary_head':
        other = {k: v for k, v in _said(norm).items() if part not in k}
        with pytest.raises(UserError, match=rf'the {part} (.|\n)*{message.format(part=part)}'):
            convert_checkpoint(checkpoint, settings=other)


def test_the_bias_of_a_non_local_block_without_a_norm():
    _, theirs = _theirs('NLHead', 'none')
    state = convert_checkpoint(Checkpoint('file', theirs.state_dict())).state_dict
    bias = theirs.decode_head.nl_block.conv_out.conv.bias
    assert torch.equal(state['decode_head.attention.out_conv.bias'], bias)


def test_side_classifiers_of_a_binary_danet():
    _, theirs = _theirs('DAHead', binary=True)
    conversion = convert_checkpoint(Checkpoint('file', theirs.state_dict()))
    assert (conversion.overrides['model.decode_head.num_classes'],
            conversion.overrides['model.decode_head.out_channels']) == (2, 1)
    assert any('only that of class 1' in note for note in conversion.notes)
    assert any('threshold' in note for note in conversion.notes)
    for ours, side in (('position_conv_seg', 'pam_conv_seg'), ('channel_conv_seg', 'cam_conv_seg')):
        for name, value in getattr(theirs.decode_head, side).named_parameters():
            assert torch.equal(conversion.state_dict[f'decode_head.{ours}.{name}'], value[1:])


@pytest.mark.parametrize('type_', ['CCHead', 'DAHead', 'NLHead'])
def test_conv_cfg(type_):
    model, theirs = _theirs(type_, conv_cfg=dict(type='ConvWS'))
    checkpoint = Checkpoint('file', theirs.state_dict(), dict(cfg=text_of(Config(dict(model=model)))))
    if type_ in ('CCHead', 'DAHead'):
        _assert_same(theirs, convert_checkpoint(checkpoint))
    else:
        with pytest.raises(UserError, match=r'conv_cfg=.*ConvWS.* would not reach the convolutions of the attention'):
            convert_checkpoint(checkpoint)


def test_settings_of_the_user_win():
    _, theirs = _theirs('APCHead')
    said = {'model.decode_head.align_corners': True, 'model.auxiliary_head.align_corners': True,
            'model.backbone.contract_dilation': False}
    model = convert_checkpoint(Checkpoint('file', theirs.state_dict()), settings=said).model
    assert model['decode_head']['align_corners'] is model['auxiliary_head']['align_corners'] is True
    assert model['backbone']['contract_dilation'] is False
