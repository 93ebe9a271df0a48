"""The big configs on CamVid's photographs, laid out as VOC and as Cityscapes."""

import pytest

from tests import make_layouts
from tests.tools.command import CONFIGS, succeeds, tool

SMALL = ['model.pretrained=None', 'train_dataloader.batch_size=2', 'train_dataloader.num_workers=0',
         'train_dataloader.persistent_workers=False', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2',
         'val_dataloader.dataset.indices=1', 'default_hooks.logger.interval=1']


@pytest.mark.slow
@pytest.mark.parametrize(('config', 'crop', 'transform'), [
    ('emanet_r101_voc', 65, 'train_dataloader.dataset.datasets.{}.pipeline.3.crop_size=(65,65)'),
    ('emanet_r101_cityscapes', 64, 'train_dataloader.dataset.pipeline.3.crop_size=(64,64)'),
])
def test_trains_and_evaluates(tmp_path, camvid, config, crop, transform):
    make_layouts.main(camvid, tmp_path / 'data', count=4)
    crops = sorted({transform.format(i) for i in (0, 1)})
    pipeline = ['val_dataloader.dataset.pipeline.1.scale=(256,128)'] if 'cityscapes' in config else []
    log = succeeds(tool('train.py', CONFIGS / f'{config}.py', '--cfg-options', *SMALL, *crops, *pipeline,
                        f'model.data_preprocessor.size=({crop},{crop})', cwd=tmp_path))
    assert 'Iter(train) [2/2]' in log
    assert 'mIoU:' in log


@pytest.mark.slow
def test_camvid_trains(tmp_path, camvid):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'camvid').symlink_to(camvid)
    log = succeeds(tool('train.py', CONFIGS / 'emanet_r18_camvid.py', '--cfg-options', *SMALL[1:],
                        'train_dataloader.dataset.pipeline.3.crop_size=(96,96)', 'model.data_preprocessor.size=(96,96)',
                        cwd=tmp_path))
    assert 'mIoU:' in log
