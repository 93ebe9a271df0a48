"""Configs are read, or refused in one message that says what to do."""

import copy
import sys

import pytest
from mmengine.config import Config

from mmseg_attn.common.config import known_channels, load_config, without_timm_weights
from mmseg_attn.common.errors import UserError

BASE = 'train_dataloader = dict(num_workers=2, persistent_workers=True, prefetch_factor=4, dataset=dict())\n'


def test_a_shipped_config_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in 'emanet_r18_shapes', 'emanet_r18_shapes.py', 'configs/emanet_r18_shapes.py':
        cfg = load_config(name)
        assert cfg.model.decode_head.type == 'mmseg_attn.EMAHead'
        assert cfg.work_dir == 'work_dirs/emanet_r18_shapes'


def test_a_file_of_the_users_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'emanet_r18_shapes.py').write_text('model = dict(type="Mine")')
    assert load_config('emanet_r18_shapes.py').model.type == 'Mine'


def test_without_workers_none_persist_or_fetch_ahead(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text(BASE)
    loader = load_config(path, {'train_dataloader.num_workers': 0}).train_dataloader
    assert loader.persistent_workers is False
    assert 'prefetch_factor' not in loader
    assert load_config(path).train_dataloader == dict(
        num_workers=2, persistent_workers=True, prefetch_factor=4, dataset=dict())


@pytest.mark.parametrize(('text', 'message'), [
    ('model = dict(', 'cannot be read as a config: .*was never closed'),
    ('_base_ = "none.py"', 'cannot be read as a config: .*none.py'),
    ('from mmengine.config import read_base\nwith read_base():\n    from .none import *',
     'cannot be read as a config: .*none'),
    ('a = 1 / 0', 'cannot be read as a config: ZeroDivisionError: division by zero'),
    ('custom_imports = dict(imports=["no_such_module"], allow_failed_imports=False)',
     'cannot be read as a config: .*no_such_module')])
def test_what_is_no_config_is_told_in_one_message(tmp_path, text, message):
    path = tmp_path / 'config.py'
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        load_config(path)
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) <= 5


@pytest.mark.parametrize(('path', 'message'), [
    ('emanet_r18_shape.py', 'there is no config file .*did you mean .*emanet_r18_shapes'),
    ('nothing/like_this.py', 'there is no config file .*the folder nothing does not exist either'),
    ('', r'^\. is a folder, and a config is a file'), ('/', '^/ is a folder'), ('configs', 'configs')])
def test_a_missing_config_is_told_with_what_is_near(tmp_path, monkeypatch, path, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        load_config(path)


def test_an_option_that_does_not_fit(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text('a = [1, 2]')
    with pytest.raises(UserError, match='--cfg-options does not fit'):
        load_config(path, {'a.5.b': 1})


def test_a_config_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (tmp_path / 'config.py').write_text('a = 1')
    cfg = copy.deepcopy(load_config(tmp_path / 'config.py'))
    cfg.dump(tmp_path / 'dumped.py')
    cfg.a = 2
    monkeypatch.setattr(Config, 'pretty_text', property(lambda self: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        cfg.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').a == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ['config.py', 'dumped.py']


def test_the_text_of_a_config_follows_its_changes(tmp_path):
    (tmp_path / 'config.py').write_text('a = 1')
    cfg = load_config(tmp_path / 'config.py')
    before = cfg.pretty_text
    cfg.a = 2
    expected = [Config(dict(a=a, work_dir='work_dirs/config')).pretty_text for a in (1, 2)]
    assert [before, cfg.pretty_text] == expected


@pytest.mark.parametrize(('model', 'channels'), [
    (dict(backbone=dict(type='mmseg.ResNetV1c', in_channels=5)), 5),
    (dict(backbone=dict(type='mmseg.ResNetV1c', depth=18)), 3),
    (dict(backbone=dict(type='mmseg.MixVisionTransformer')), 3),
    (dict(module=dict(backbone=dict(type='mmseg.HRNet', in_channels=1))), 1),
    (dict(backbone=dict(type=int), data_preprocessor=dict(mean=[1.0] * 4)), 4),
    (dict(backbone=dict(type='mmseg.None'), data_preprocessor=dict(mean=[1.0])), None),
    ({}, None)])
def test_the_channels_that_a_model_takes(model, channels):
    assert known_channels(model) == channels


def test_a_config_whose_package_is_absent(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmpretrain', None)
    with pytest.raises(UserError, match=r"(?s)mmpretrain.*\n.*pip install 'mmseg-attn\[backbones\]'"):
        load_config('danet_convnext_t_cityscapes')


def test_weights_of_timm_are_left_out_wherever_the_backbone_is():
    timm, other = dict(type='TIMMBackbone', pretrained=True), dict(type='ResNet', pretrained='file.pth')
    model = dict(module=dict(backbone=dict(type='mmseg_attn.BackboneWithBlocks', backbone=dict(timm))),
                 teachers=[dict(timm, type='mmseg.TIMMBackbone'), dict(other), None])
    without_timm_weights(model)
    assert model['module']['backbone']['backbone'] == dict(timm, pretrained=False, checkpoint_path='')
    assert model['teachers'][0]['pretrained'] is False
    assert model['teachers'][1] == other
