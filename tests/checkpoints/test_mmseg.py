"""Networks of mmsegmentation, converted: the logits of mmseg's own model."""

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmseg.registry import MODELS as MMSEG_MODELS

from mmseg_attn.checkpoints import Checkpoint, convert_checkpoint
from mmseg_attn.checkpoints.config_text import text_of
from mmseg_attn.common.errors import UserError
from tests.checkpoints.mmseg_models import DEFAULTS, build_theirs, without_compiled_ops
from tests.checkpoints.test_official import build
from tests.helpers import randomize


@pytest.fixture(autouse=True)
def _without_compiled_ops(monkeypatch):
    without_compiled_ops(monkeypatch)


@torch.no_grad()
def _assert_same(theirs, conversion, size=(97, 129)):
    ours = build(conversion)
    theirs.backbone.eval()
    x = torch.randn(2, 3, *size)
    for name in 'decode_head', 'auxiliary_head':
        expected = getattr(theirs, name)(theirs.extract_feat(x))
        expected = expected[0] if isinstance(expected, tuple) else expected
        torch.testing.assert_close(getattr(ours, name)(ours.extract_feat(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('type_', DEFAULTS)
def test_weights_alone(type_):
    _, theirs = build_theirs(type_, **DEFAULTS[type_])
    conversion = convert_checkpoint(Checkpoint(type_, theirs.state_dict()))
    assert any('does not hold its config' in note for note in conversion.notes)
    _assert_same(theirs, conversion)


OTHERS = {
    'PSAHead': dict(mask_size=(13, 17), psa_type='distribute', compact=False, shrink_factor=1, psa_softmax=False,
                    normalization_factor=9.0),
    'DAHead': dict(pam_channels=6, act_cfg=dict(type='Tanh')), 'CCHead': dict(recurrence=3, concat_input=False),
    'ISAHead': dict(isa_channels=6, down_factor=(4, 3)), 'APCHead': dict(pool_scales=(2, 5), fusion=False),
    'EMAHead': dict(ema_channels=12, num_bases=7, num_stages=5, concat_input=False),
    'NLHead': dict(mode='gaussian', reduction=1, use_scale=False)}


@pytest.mark.parametrize(('type_', 'backbone'), [*((type_, 'ResNetV1c') for type_ in OTHERS), ('NLHead', 'ResNet')])
def test_with_the_config_in_the_file(type_, backbone):
    model, theirs = build_theirs(type_, backbone, align_corners=True, **OTHERS[type_])
    meta = dict(cfg=text_of(Config(dict(model=model))))
    conversion = convert_checkpoint(Checkpoint(type_, theirs.state_dict(), meta))
    assert conversion.model['decode_head']['align_corners'] is True
    assert conversion.model['data_preprocessor']['mean'] == [1.0, 2.0, 3.0]
    _assert_same(theirs, conversion)


def test_the_config_in_the_file_is_not_run(tmp_path):
    _, theirs = build_theirs('APCHead')
    victim = tmp_path / 'victim'
    text = f'model = dict(a=1)\nopen({str(victim)!r}, "w")\nx = __import__("os").getcwd()'
    with pytest.raises(UserError, match='the config in the file has the decode head None'):
        convert_checkpoint(Checkpoint('file', theirs.state_dict(), dict(cfg=text)))
    assert not victim.exists()


def test_what_only_the_user_knows():
    _, theirs = build_theirs('CCHead', recurrence=3)
    conversion = convert_checkpoint(Checkpoint('file', theirs.state_dict()),
                                    settings={'model.decode_head.recurrence': 3})
    assert conversion.overrides['model.decode_head.recurrence'] == 3
    _assert_same(theirs, conversion)


def test_a_mask_that_is_no_square():
    _, theirs = build_theirs('PSAHead', mask_size=(13, 17))
    with pytest.raises(UserError, match=r'221 positions, which is no square.*mask_size'):
        convert_checkpoint(Checkpoint('file', theirs.state_dict()))
    conversion = convert_checkpoint(Checkpoint('file', theirs.state_dict()),
                                    settings={'decode_head.mask_size': (13, 17)})
    _assert_same(theirs, conversion)


def test_a_head_without_a_counterpart():
    model, theirs = build_theirs('NLHead', kernel_size=1)
    meta = dict(cfg=text_of(Config(dict(model=model))))
    with pytest.raises(UserError, match=r'decode_head\.kernel_size=1 has no counterpart'):
        convert_checkpoint(Checkpoint('file', theirs.state_dict(), meta))


@pytest.mark.parametrize(('name', 'value'), [
    ('type', 'subprocess.getoutput'), ('type', 'this.nothing'), ('constructor', 'os.system'), ('type', 'mmseg.os')])
def test_types_in_a_strangers_config_are_not_imported(name, value):
    model, theirs = build_theirs('APCHead')
    model['data_preprocessor'] = {'type': 'SegDataPreProcessor', name: value}
    meta = dict(cfg=text_of(Config(dict(model=model))))
    with pytest.raises(UserError, match=f'has the {name} .*{value}.*, which neither OpenMMLab'):
        convert_checkpoint(Checkpoint('file', theirs.state_dict(), meta))


def test_what_would_load_another_file_is_left_out():
    model, theirs = build_theirs('APCHead')
    model['pretrained'] = 'http://127.0.0.1/backbone.pth'
    model['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint='http://127.0.0.1/backbone.pth')
    meta = dict(cfg=text_of(Config(dict(model=model))))
    assert '127.0.0.1' not in str(convert_checkpoint(Checkpoint('file', theirs.state_dict(), meta)).model)


def test_a_config_of_mmseg_0(tmp_path):
    model, theirs = build_theirs('APCHead')
    del model['data_preprocessor']
    norm = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=False)
    text = text_of(Config(dict(model=model, img_norm_cfg=norm, data=dict(test=dict(type='CityscapesDataset')))))
    conversion = convert_checkpoint(Checkpoint('file', theirs.state_dict(), dict(config=text)))
    preprocessor = conversion.model['data_preprocessor']
    assert (preprocessor['mean'], preprocessor['std'], preprocessor['bgr_to_rgb']) == (norm['mean'], norm['std'], False)
    assert conversion.source_config is None
    assert any('mmseg 0.x' in note for note in conversion.notes)
    _assert_same(theirs, conversion)


@pytest.mark.parametrize('text', ['model = 3', 'model = [1]', 'model = dict(a=b)'])
def test_a_config_that_is_none(text):
    _, theirs = build_theirs('APCHead')
    conversion = convert_checkpoint(Checkpoint('file', theirs.state_dict(), dict(cfg=text)))
    assert any('cannot be read without running it' in note for note in conversion.notes)
    _assert_same(theirs, conversion)


@pytest.mark.parametrize('type_', ['DAHead', 'CCHead'])
def test_without_an_auxiliary_head(type_):
    _, theirs = build_theirs(type_, **DEFAULTS[type_])
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith('auxiliary_head')}
    conversion = convert_checkpoint(Checkpoint('file', state))
    assert conversion.model['auxiliary_head'] is None
    assert conversion.overrides.get('model.auxiliary_head', None) is None


@pytest.mark.parametrize('psa_type', ['collect', 'distribute', 'bi-direction'])
def test_a_compact_mask(psa_type):
    arguments = dict(mask_size=(7, 9), psa_type=psa_type, compact=True)
    model, theirs = build_theirs('PSAHead', **arguments)
    meta = dict(cfg=text_of(Config(dict(model=model))))
    given = {f'decode_head.{k}': v for k, v in arguments.items()}
    for checkpoint, settings in ((Checkpoint('file', theirs.state_dict(), meta), {}),
                                 (Checkpoint('file', theirs.state_dict()), given)):
        _assert_same(theirs, convert_checkpoint(checkpoint, settings=settings))


@pytest.mark.slow
@pytest.mark.parametrize('shape', [(), (3,), (2, 3)])
def test_weights_of_another_rank(shape):
    for type_ in DEFAULTS:
        _, theirs = build_theirs(type_, **DEFAULTS[type_])
        state = theirs.state_dict()
        for key in [k for k in state if k.startswith('decode_head') and state[k].ndim == 4]:
            with pytest.raises(UserError):
                convert_checkpoint(Checkpoint('file', state | {key: torch.ones(shape)}))


def test_a_backbone_that_cannot_be_built_without_numbers():
    model, _ = build_theirs('CCHead')
    model['backbone'] = dict(type='SwinTransformer', embed_dims=8, depths=(1, 1, 2, 1), num_heads=(1, 1, 2, 2))
    theirs = randomize(MMSEG_MODELS.build(ConfigDict(model)), std=0.15).eval()
    meta = dict(cfg=text_of(Config(dict(model=model))))
    _assert_same(theirs, convert_checkpoint(Checkpoint('file', theirs.state_dict(), meta)))
