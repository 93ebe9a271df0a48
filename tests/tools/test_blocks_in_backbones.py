"""A backbone with blocks in it through all commands."""

import re

import pytest
import torch

from tests.tools.command import CONFIGS, FEW, fails, fails_here, succeeds, tool

BLOCK = "dict(type='mmseg_attn.{}'{})".format
RESNET = "model = dict(decode_head=dict(in_channels={}), backbone=dict({}))\n".format
NARROW = "type='mmseg_attn.ResNetV1c', depth=50, base_channels=8, stem_channels=8"
KINDS = {
    'after_blocks': (RESNET(64, f"{NARROW}, after_blocks=[dict(cfg={BLOCK('NonLocal', '')}, blocks=((), (1, 3)))]"),
                     'backbone.layer2.3.non_local'),
    'plugins': (RESNET(64, f"{NARROW}, plugins=[dict(cfg={BLOCK('CBAM', ', identity_start=True')}, "
                            f"position='after_conv3'), dict(cfg={BLOCK('CrissCrossAttention', '')}, "
                            f"position='after_conv2', stages=(False, True))]"),
                'backbone.layer2.0.criss_cross_attention'),
    'modules': ("model = dict(decode_head=dict(in_channels=32), backbone=dict(_delete_=True, "
                "type='mmseg_attn.BackboneWithBlocks', backbone=dict(type='SwinTransformer', embed_dims=16, "
                "depths=(1, 2), num_heads=(1, 2), strides=(4, 2), out_indices=(1,), window_size=5), after_modules=["
                f"dict(cfg={BLOCK('PositionAttention', ', in_channels=32')}, modules=['stages.1.blocks.0'])]))\n",
                'backbone.stages.1.blocks.0.position_attention'),
}
FEW_IMAGES = ['val_dataloader.dataset.indices=2', 'test_dataloader.dataset.indices=2']


@pytest.fixture
def folder(tmp_path, shapes):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'context_shapes').symlink_to(shapes)
    return tmp_path


def write_config(folder, text):
    (folder / 'blocks.py').write_text(f"_base_ = r'{CONFIGS}/fcn_r18_shapes.py'\n{text}")
    return 'blocks.py'


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
def test_trains_resumes_tests_infers_shows_and_exports(kind, folder):
    text, block = KINDS[kind]
    config = write_config(folder, text)
    succeeds(tool('train.py', config, '--amp', '--cfg-options', *FEW, *FEW_IMAGES, cwd=folder))
    checkpoint = folder / 'work_dirs' / 'blocks' / 'iter_4.pth'
    assert any(key.startswith(f'{block}.') for key in torch.load(checkpoint, weights_only=False)['state_dict'])
    longer = [option.replace('=4', '=6') for option in FEW]
    log = succeeds(tool('train.py', config, '--resume', '--amp', '--cfg-options', *longer, *FEW_IMAGES, cwd=folder))
    assert 'Iter(train) [5/6]' in log
    assert 'mIoU ' in succeeds(tool('test.py', config, checkpoint, '--cfg-options', *FEW_IMAGES, cwd=folder))
    image = next((folder / 'data' / 'context_shapes' / 'JPEGImages').glob('val_*'))
    succeeds(tool('infer.py', config, checkpoint, image, '--out', 'predictions', cwd=folder))
    log = succeeds(tool('explore_attention.py', config, checkpoint, image, '--out', 'pages', '--block', block,
                        '--seconds', 1, '--points', '80,80', cwd=folder))
    assert ': attention of ' in log
    for form in 'torch-export', 'onnx':
        succeeds(tool('export.py', config, checkpoint, '--format', form, cwd=folder))
    assert 'Params' in succeeds(tool('get_flops.py', config, '--shape', 160, cwd=folder))


TWO = [f"dict(cfg={BLOCK(name, '')}, position='after_conv3')" for name in ('SE', 'CBAM')]


@pytest.mark.parametrize(('settings', 'message'), [
    (f'plugins=[{TWO[0]}, {TWO[1]}]', 'model.backbone.plugins: two plugins at after_conv3'),
    ("after_blocks=[dict(cfg=dict(type='mmseg_attn.NonLocl'), blocks=((), (1,)))]",
     "model.backbone.after_blocks.0.cfg.type='mmseg_attn.NonLocl' is unknown: did you mean mmseg_attn.NonLocal"),
    ("after_blocks=[dict(cfg=dict(type='mmseg_attn.NonLocal'), blocks=((), (9,)))]",
     'names block 9 of stage 1, which has 4 blocks'),
    ("after_blocks=[dict(cfg=dict(type='mmseg_attn.NonLocal', mode='none'), blocks=((), (1,)))]",
     'mode must be one of'),
    ("after_blocks=[dict(cfg=dict(type='mmseg_attn.NonLocal', modus=1), blocks=((), (1,)))]",
     'a setting of the config does not fit the class that it is for: NonLocal.__init__() got an unexpected keyword'),
])
def test_bad_settings_are_told_in_one_message(settings, message, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    config = write_config(folder, RESNET(64, f'{NARROW}, {settings}'))
    assert message in fails_here(capsys, 'train', config)


@pytest.mark.parametrize('part', ['decode_head=dict(num_cons=1)', 'backbone=dict(dpth=18)'])
def test_a_setting_that_no_class_takes_is_told_in_one_message(part, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    message = fails_here(capsys, 'train', write_config(folder, f'model = dict({part})\n'))
    assert re.search(r'a setting of the config does not fit .* unexpected keyword argument', message)


@pytest.mark.slow
def test_no_such_block(folder):
    config = write_config(folder, KINDS['after_blocks'][0])
    succeeds(tool('train.py', config, '--cfg-options', *FEW, *FEW_IMAGES, cwd=folder))
    image = next((folder / 'data' / 'context_shapes' / 'JPEGImages').glob('val_*'))
    error = fails(tool('explore_attention.py', config, 'work_dirs/blocks/iter_4.pth', image, '--out', 'pages',
                       '--block', 'backbone.layer2.2.non_local', cwd=folder))
    assert 'is no block with an attention map; the model has backbone.layer2.1.non_local, backbone.layer2.3' in error
