"""Every file in configs/ loads, is consistent, and takes one training step as a small network."""

import copy
from functools import cache, wraps
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_attn.common.config_checks import check_config
from mmseg_attn.common.errors import UserError
from mmseg_attn.engine.launch import _replace_sync_bn
from mmseg_attn.registry import MODELS
from tests.backbones import narrow, require_backbone

FOLDER = Path(__file__).parents[2] / 'configs'
CONFIGS = sorted([*FOLDER.glob('*.py'), *FOLDER.glob('official/*.py')])
# They differ from those of ResNet-50 in the depth; the full run takes all.
SLOW = [path for path in CONFIGS if path.with_name(path.name.replace('_r101_', '_r50_')) in {*CONFIGS} - {path}]


@pytest.fixture(params=[pytest.param(path, marks=pytest.mark.slow if path in SLOW else ()) for path in CONFIGS],
                ids=lambda path: str(path.relative_to(FOLDER)))
def cfg(request):
    init_default_scope('mmseg')
    return copy.deepcopy(_read(request.param))


@cache
def _read(path):
    require_backbone(Config.fromfile(path, import_custom_modules=False).model.backbone)
    return Config.fromfile(path)


def _shrink(model):
    narrow(model)
    _replace_sync_bn(model)
    return model


def _once(test):
    """Of configs that are equal in what the test reads of them (its first argument), each process tries one."""
    passed = set()

    @wraps(test)
    def wrapper(settings, *args):
        if (key := repr(settings)) not in passed:
            test(settings, *args)
            passed.add(key)
    return wrapper


def test_takes_a_training_step(cfg):
    _shrink(cfg.model)
    if cfg.model.backbone.get('depth', 0) > 50:
        # Of a deeper backbone only the number of equal blocks is new.
        cfg.model.backbone.depth = 50
    _take_a_training_step((cfg.model, cfg.optim_wrapper, 'context_shapes' in cfg.data_root))


@_once
def _take_a_training_step(settings):
    model_cfg, optim_wrapper_cfg, is_shapes = settings
    model = MODELS.build(model_cfg).train()
    optim_wrapper = build_optim_wrapper(model, optim_wrapper_cfg)
    num_classes = model.decode_head.num_classes
    labels = torch.randint(0, num_classes, (2, 1, 65, 97))
    if not is_shapes:
        # They have no ignored pixels, on which the class weights of mmsegmentation 1.2.2 would fail.
        labels[:, :, 20:40, 20:40] = model.decode_head.ignore_index
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    images = [torch.randint(0, 256, (3, 65, 97), dtype=torch.uint8) for _ in range(2)]
    model.data_preprocessor.size = (65, 97)
    before = model.decode_head.conv_seg.weight.clone()
    log = model.train_step(dict(inputs=images, data_samples=samples), optim_wrapper)
    assert log['loss'].isfinite()
    assert not torch.equal(model.decode_head.conv_seg.weight, before)


def test_pipelines_deliver_images_and_labels(cfg, tmp_path):
    _deliver_images_and_labels((cfg.train_pipeline, cfg.test_pipeline, cfg.tta_pipeline), tmp_path)


@_once
def _deliver_images_and_labels(pipelines, tmp_path):
    train_pipeline, test_pipeline, tta_pipeline = pipelines
    Image.fromarray(np.random.randint(0, 256, (120, 160, 3), np.uint8)).save(tmp_path / 'image.png')
    Image.fromarray(np.random.randint(0, 5, (120, 160), np.uint8)).save(tmp_path / 'label.png')
    data = dict(img_path=str(tmp_path / 'image.png'), seg_map_path=str(tmp_path / 'label.png'), seg_fields=[],
                label_map=None, reduce_zero_label=False)
    sample = Compose(train_pipeline)(dict(data, seg_fields=[]))
    assert sample['inputs'].shape[1:] == sample['data_samples'].gt_sem_seg.data.shape[1:]
    assert Compose(test_pipeline)(dict(data, seg_fields=[]))['data_samples'].gt_sem_seg.data.shape == (1, 120, 160)
    views = Compose(tta_pipeline)(dict(data, seg_fields=[]))
    assert len(views['inputs']) >= 2


def test_schedule_ends_with_the_training(cfg):
    scheduler = cfg.param_scheduler[-1]
    assert scheduler.end == cfg.train_cfg.max_iters
    assert cfg.default_hooks.checkpoint.save_best == 'mIoU'
    assert cfg.default_hooks.checkpoint.interval == cfg.train_cfg.val_interval


def test_missing_data_is_named_before_any_work(cfg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if 'context_shapes' in str(cfg.data_root):
        check_config(cfg, 'train_dataloader', 'val_dataloader')
    else:
        with pytest.raises(UserError, match=f'{cfg.data_root} does not exist'):
            check_config(cfg, 'train_dataloader')


def test_emanet_on_voc_is_the_authors_recipe():
    init_default_scope('mmseg')
    cfg = Config.fromfile('configs/emanet_r101_voc.py')
    assert cfg.train_dataloader.batch_size * 4 == cfg.auto_scale_lr.base_batch_size == 16
    assert cfg.model.backbone.depth == 101
    assert cfg.model.data_preprocessor.size == (513, 513)
    model = MODELS.build(_shrink(cfg.model))
    assert not model.with_auxiliary_head
    assert not model.decode_head.concat_input
    assert [block.conv2.dilation[0] for block in model.backbone.layer4] == [2, 8, 16]
    assert model.backbone.layer3[0].conv2.dilation[0] == 1
    assert {m.momentum for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {3e-4}
    groups = {name: group for name, group in zip(
        (name for name, p in model.named_parameters() if p.requires_grad),
        (g for g in build_optim_wrapper(model, cfg.optim_wrapper).param_groups if g['params'][0].requires_grad),
        strict=True)}
    expected = {'backbone.layer1.0.conv1.weight': (9e-3, 1e-4), 'backbone.layer1.0.bn1.weight': (9e-3, 0),
                'backbone.layer1.0.bn1.bias': (18e-3, 0), 'decode_head.conv_seg.weight': (9e-3, 1e-4),
                'decode_head.conv_seg.bias': (18e-3, 0), 'decode_head.attention.norm.weight': (9e-3, 0)}
    assert {name: (groups[name]['lr'], groups[name]['weight_decay']) for name in expected} == expected


def test_emanet_pads_test_images_to_the_stride_plus_one():
    init_default_scope('mmseg')
    preprocessor = MODELS.build(Config.fromfile('configs/emanet_r101_voc.py').model.data_preprocessor)
    for size, padded in (((375, 500), (377, 505)), ((8, 9), (9, 9)), ((1, 2), (1, 9))):
        data = preprocessor(dict(inputs=[torch.zeros(3, *size)], data_samples=[SegDataSample()]))
        assert data['inputs'].shape[2:] == padded
        unpadded = preprocessor(dict(inputs=[torch.zeros(3, *size)]))
        assert unpadded['inputs'].shape[2:] == size
        assert data['data_samples'][0].img_padding_size == (0, padded[1] - size[1], 0, padded[0] - size[0])
