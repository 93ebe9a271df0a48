"""Every backbone of configs/_base_ through the commands, from a training to an exported file."""

import re

import mmcv
import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_attn.engine.launch import _replace_sync_bn
from tests.backbones import narrow, require_backbone
from tests.explain.models import picture
from tests.tools.command import CONFIGS, succeeds, tool

NAMES = ('emanet_swin_t', 'danet_convnext_t', 'ccnet_timm_convnext_t', 'isanet_mit_b0', 'emanet_mobilenet_v2',
         'ccnet_mobilenet_v3', 'isanet_hrnet_w18', 'danet_vit_b16', 'ocnet_dinov2_s14', 'ocnet_timm_dinov3_s16')
DATA = ('train_pipeline', 'test_pipeline', 'tta_pipeline', 'train_dataloader', 'val_dataloader', 'test_dataloader')
TWO = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'default_hooks.checkpoint.interval=2',
       'default_hooks.logger.interval=1', 'train_dataloader.batch_size=2', 'val_dataloader.dataset.indices=4',
       'test_dataloader.dataset.indices=4']


def write_config(name, folder):
    """The config, narrow, with the built-in data in the place of Cityscapes."""
    path = CONFIGS / f'{name}_cityscapes.py'
    require_backbone(Config.fromfile(path, import_custom_modules=False).model.backbone)
    cfg, shapes = Config.fromfile(path), Config.fromfile(CONFIGS / '_base_' / 'shapes.py')
    narrow(cfg.model)
    _replace_sync_bn(cfg.model)
    for key in DATA:
        cfg[key] = shapes[key]
    cfg.model.data_preprocessor.size = (160, 160)
    for head in filter(None, (cfg.model.decode_head, cfg.model.get('auxiliary_head'))):
        head.num_classes = 5
    cfg.dump(folder / 'small.py')


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMES)
def test_from_a_training_to_an_exported_file(name, tmp_path, shapes):
    def run(command, *arguments):
        return succeeds(tool(f'{command}.py', 'small.py', *arguments, cwd=tmp_path))
    write_config(name, tmp_path)
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'context_shapes').symlink_to(shapes)
    mmcv.imwrite(picture(50, 70), str(tmp_path / 'picture.png'))

    run('train', '--cfg-options', *TWO)
    log = run('train', '--resume', '--cfg-options', *TWO, 'train_cfg.max_iters=4')
    assert 'Iter(train) [3/4]' in log
    assert 'Iter(train) [2/4]' not in log
    checkpoint = 'work_dirs/small/iter_4.pth'
    assert re.search(r'mIoU \d', run('test', checkpoint, '--cfg-options', *TWO))
    run('infer', checkpoint, 'picture.png', '--out', 'results')
    with Image.open(tmp_path / 'results' / 'masks' / 'picture.png') as mask:
        assert mask.size == (70, 50)
    for format, suffix in (('onnx', 'onnx'), ('torch-export', 'pt2')):
        print(run('export', checkpoint, '--format', format, '--size', 64, 96))
        assert (tmp_path / f'small.{suffix}').is_file()
    run('explore_attention', checkpoint, 'picture.png', '--out', 'looks', '--points', '10,20')
    assert {path.name for path in (tmp_path / 'looks').iterdir()} == {'picture.html', 'picture.png'}


def test_every_config_is_taken_through_the_commands():
    bases = {path.stem for path in (CONFIGS / '_base_').glob('*.py') if 'backbone=dict(' in path.read_text()}
    others = {'camvid', 'mbv2_camvid', 'resnet50_d8', 'shapes', 'fcn_shapes', 'fcn_r50_cityscapes'}
    assert bases - others == {name.partition('_')[2] for name in NAMES}
