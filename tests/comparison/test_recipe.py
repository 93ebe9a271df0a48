"""One recipe for all configs."""

from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_attn.common.errors import UserError
from mmseg_attn.comparison.recipe import check_equal, differing_keys, prepare, set_iterations

CONFIGS = Path(__file__).parents[2] / 'configs'
CAMVID = CONFIGS / 'recipes' / 'camvid_small.py'


@pytest.fixture(autouse=True)
def _data(tmp_path, few_shapes, monkeypatch):
    for folder in ('train', 'trainannot', 'val', 'valannot', 'test', 'testannot'):
        (tmp_path / 'data' / 'camvid' / folder).mkdir(parents=True)
        (tmp_path / 'data' / 'camvid' / folder / '0.png').touch()
    (tmp_path / 'data' / 'context_shapes').symlink_to(few_shapes)
    monkeypatch.chdir(tmp_path)


def _prepared(*names, recipe=None, iters=None, options=None):
    return {name: prepare(CONFIGS / f'{name}_r18_shapes.py', recipe, options, iters) for name in names}


def test_the_recipe_changes_all_but_the_head():
    ours = Config.fromfile(CONFIGS / 'emanet_r18_shapes.py').model.decode_head
    cfg = _prepared('emanet', recipe=CAMVID)['emanet']
    assert cfg.train_dataloader.dataset.type == 'mmseg_attn.CamVidDataset'
    assert 'ann_file' not in cfg.val_dataloader.dataset
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[1].end == 200
    assert cfg.val_evaluator == dict(type='mmseg_attn.ClassIoUMetric', iou_metrics=['mIoU'], ignore_index=11)
    assert differing_keys(ours.to_dict(), cfg.model.decode_head.to_dict()) == [
        'ignore_index', 'loss_decode.avg_non_ignore', 'loss_decode.class_weight', 'num_classes']


def test_all_heads_under_one_recipe_are_compared_fairly():
    names = [path.stem.removesuffix('_r18_shapes') for path in CONFIGS.glob('*_r18_shapes.py')]
    assert len(names) >= 14
    check_equal(_prepared(*names, recipe=CAMVID), own_schedules=False)


def test_what_differs_is_named():
    configs = _prepared('fcn', 'glore', 'ccnet')
    with pytest.raises(UserError, match=r'fcn and ccnet differ in .*train_cfg\.max_iters.*\n.*--iters N'):
        check_equal(configs, own_schedules=False)
    check_equal(configs, own_schedules=True)
    configs['glore'].train_dataloader.batch_size = 2
    with pytest.raises(UserError, match=r'fcn and glore would not .* differ in train_dataloader\.batch_size'):
        check_equal(configs, own_schedules=True)


def test_blocks_in_the_backbone_are_compared_as_heads_are():
    configs = _prepared('fcn', 'non_local_blocks')
    check_equal(configs, own_schedules=False)
    configs['non_local_blocks'].model.backbone.type = 'mmseg_attn.ResNetV1d'
    with pytest.raises(UserError, match=r'differ in model\.backbone\.type'):
        check_equal(configs, own_schedules=False)


def test_iterations():
    configs = _prepared('fcn', 'ccnet', iters=700)
    check_equal(configs, own_schedules=False)
    warm_up, cosine = configs['ccnet'].param_scheduler
    assert (warm_up.begin, warm_up.end) == (0, 120)
    assert (cosine.begin, cosine.end, cosine.T_max) == (120, 700, 580)
    assert configs['fcn'].train_cfg.val_interval == 200
    assert _prepared('fcn', iters=150)['fcn'].train_cfg.val_interval == 150
    cfg = Config(dict(train_cfg=dict(max_iters=100), param_scheduler=dict(type='PolyLR', begin=0, end=100)))
    set_iterations(cfg, 50, Path('x.py'))
    assert cfg.param_scheduler.end == 50


@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(iters=120), 'more than the 120 of the warm-up'),
    (dict(recipe=Path('nothing.py')), 'no config file nothing.py'),
    (dict(options={'train_dataloader': 3, 'train_dataloader.batch_size': 3}), 'does not fit'),
    (dict(options={'train_cfg': dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=3)}), 'no max_iters'),
    (dict(options={'model.decode_head.type': 'mmseg_attn.EMHead'}), 'did you mean mmseg_attn.EMAHead'),
    (dict(recipe=CAMVID, options={'train_dataloader.dataset.data_root': 'gone'}), 'gone'),
    (dict(recipe=CAMVID, options={'train_dataloader.dataset.img_suffix': '.tif'}), r'ends in \.tif')])
def test_bad_input(arguments, message):
    with pytest.raises(UserError, match=message):
        _prepared('fcn', **arguments)


def test_differences():
    found = differing_keys(dict(a=1, b=dict(c=2, d=[1]), e=0), dict(a=1, b=dict(c=3, d=[2]), f=0))
    assert found == ['b.c', 'b.d', 'e', 'f']
