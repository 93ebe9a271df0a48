"""The commands on a network at several scales."""

import re

import numpy as np
import pytest
from PIL import Image

from tests.explain.unpacking import read_page
from tests.tools.command import CONFIGS, fails_here, run_here, succeeds, tool

CONFIG = CONFIGS / 'emanet_r18_mscale_shapes.py'
SMALL = ['model.backbone.base_channels=16', 'model.backbone.stem_channels=16', 'model.decode_head.in_channels=32',
         'model.decode_head.channels=16', 'model.decode_head.ema_channels=16', 'model.decode_head.num_bases=6',
         'model.attention_channels=8']
FEW = ['train_dataloader.batch_size=2', 'train_cfg.val_interval=2', 'default_hooks.logger.interval=1',
       'default_hooks.checkpoint.interval=2', 'val_dataloader.dataset.indices=2', 'test_dataloader.dataset.indices=2']
SLIDE = ['model.test_cfg.mode=slide', 'model.test_cfg.crop_size=(96,96)', 'model.test_cfg.stride=(64,64)']


@pytest.mark.slow
def test_train_resume_test_infer_explain_and_export(tmp_path, shapes):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'context_shapes').symlink_to(shapes)

    def run(name, *arguments, options=()):
        return succeeds(tool(f'{name}.py', CONFIG, *arguments, '--cfg-options', *SMALL, *FEW, *options, cwd=tmp_path))
    log = run('train', options=['train_cfg.max_iters=2'])
    for name in ('decode.loss_ce', 'scale_0.5.loss_ce', 'scale_1.loss_ce', 'scale_0.5.acc_seg'):
        assert re.search(rf'{re.escape(name)}: \d', log)
    log = run('train', '--resume', '--amp', options=['train_cfg.max_iters=4'])
    assert 'Iter(train) [3/4]' in log
    assert 'Iter(train) [2/4]' not in log
    checkpoint = tmp_path / 'work_dirs' / 'emanet_r18_mscale_shapes' / 'iter_4.pth'

    log = run('test', checkpoint, '--out', 'masks', '--fuse-conv-bn', options=SLIDE)
    assert re.search(r'\d\d BN are folded into the convolutions', log)
    assert 'mIoU ' in log.split('\n\n')[-1]
    masks = sorted((tmp_path / 'masks').iterdir())
    assert [np.array(Image.open(mask)).shape for mask in masks] == [(160, 160)] * 2
    assert 'mIoU ' in run('test', checkpoint, '--tta', options=['model.test_scales=(0.5,1.0)'])

    image = tmp_path / 'data' / 'context_shapes' / 'JPEGImages' / 'val_0001.png'
    run('infer', checkpoint, image, '--out', 'results')
    assert np.array(Image.open(tmp_path / 'results' / 'masks' / 'val_0001.png')).shape == (160, 160)

    log = run('explore_attention', checkpoint, image, '--out', 'pages', '--seconds', '0.1', options=SLIDE)
    assert 'attention of ' in log
    head, = read_page(tmp_path / 'pages' / 'val_0001.html')['heads']
    assert head['scales']['names'] == ['2', '1', '0.5']
    assert head['scale_weights'].shape == (3, 160, 160)
    np.testing.assert_allclose(head['scale_weights'].sum(axis=0), 1, atol=0.01)

    log = run('export', checkpoint, '--format', 'torch-export', '--size', 64, '--fixed-size', '--argmax')
    assert 'sizes: batch any, height 64, width 64' in log


@pytest.mark.slow
def test_flops(capsys):
    flops = []
    for config in (CONFIG, CONFIGS / 'emanet_r18_shapes.py'):
        run_here('get_flops', config, '--shape', 160)
        row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith('│ backbone '))
        flops.append(float(re.findall(r'([\d.]+) G', row)[0]))
    assert flops[0] == pytest.approx(5.25 * flops[1], rel=0.01)


def test_a_mistake_in_a_config_is_told(capsys, tmp_path, monkeypatch, few_shapes):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'context_shapes').symlink_to(few_shapes)
    monkeypatch.chdir(tmp_path)
    assert 'test_scales=(0.5, 2.0) must have 1.0 among them' in fails_here(
        capsys, 'train', CONFIG, '--cfg-options', 'model.test_scales=(0.5,2.0)')
    assert "fusion must be one of ('hierarchical', 'softmax'), got 'mean'" in fails_here(
        capsys, 'train', CONFIG, '--cfg-options', 'model.fusion=mean')
