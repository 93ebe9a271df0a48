"""What does not fit in a config is told before any work."""

import sys

import pytest
from mmengine.config import Config

from mmseg_attn.common.config_checks import check_config, check_dataset, check_training
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.shipped import configs_folder
from mmseg_attn.registry import DATASETS


@pytest.fixture
def cfg():
    return Config.fromfile(configs_folder() / 'emanet_r18_shapes.py')


def _head(**settings):
    return {f'model.decode_head.{key}': value for key, value in settings.items()}


@pytest.mark.parametrize(('options', 'message'), [
    (dict(default_scope=None), r"default_scope=None: .*default_scope='mmseg'"),
    (_head(type='mmseg_attn.EMAHeed'), r"model.decode_head.type='mmseg_attn.EMAHeed' is unknown: did you mean"),
    ({'train_dataloader.dataset.type': 'CamVidDatasett'}, r"train_dataloader.dataset.type='CamVidDatasett' is unknown"),
    ({'train_dataloader.dataset': 'x'}, r"train_dataloader.dataset must be dict\(type=..., ...\), got 'x'"),
    ({'model.decode_head.type': 3}, r'model.decode_head.type must be a name, got 3'),
    ({'model.backbone.in_channels': 4}, r'data_preprocessor.mean=\[.*\] must have a value for each of the 4 channels'),
    ({'model.backbone.in_channels': 4, 'model.data_preprocessor.mean': [1.0] * 4,
      'model.data_preprocessor.std': [1.0] * 4}, 'mmseg_attn.SegDataPreProcessor takes any number'),
    ({'model.decode_head': [dict(type='FCNHead'), dict(type='mmseg_attn.EMAHead')]},
     r"model.decode_head.1.type='mmseg_attn.EMAHead' takes no prediction of the head before it"),
    ({'model.backbone.dcn': dict(type='mmseg_attn.LocalRelation', fallback_on_stride=True)},
     r'backbone.dcn.fallback_on_stride=True would keep the convolution of one block.*leave it out'),
    ({'model.backbone.dcn': 'DCNv2'}, r"model.backbone.dcn must be dict\(type=...\), got 'DCNv2'"),
    ({'model.backbone.dcn': dict(type='DCNv2')}, 'model.backbone.dcn: the residual blocks of depth=18 take no dcn'),
    ({'model.backbone.plugins': [dict(cfg=dict(type='ContextBlock'), position='after_conv3')]},
     'model.backbone.plugins: the residual blocks of depth=18 take no plugins'),
    (dict(model=None), 'has no model')])
def test_a_setting_that_does_not_fit(cfg, options, message):
    cfg.merge_from_dict(options)
    with pytest.raises(UserError, match=message):
        check_config(cfg, 'train_dataloader')


def test_a_model_need_not_have_a_backbone(cfg):
    cfg.model = dict(type='EncoderDecoder', decode_head=cfg.model.decode_head)
    check_config(cfg, 'train_dataloader')


def test_a_loader_that_is_missing(cfg):
    cfg.pop('train_dataloader')
    with pytest.raises(UserError, match='has no train_dataloader'):
        check_config(cfg, 'train_dataloader')


@pytest.mark.parametrize('settings', [dict(size=None), dict(size_divisor=32)])
def test_batches_that_cannot_be_padded(cfg, settings):
    cfg.model.data_preprocessor.update(settings)
    with pytest.raises(UserError, match='pads the images of a batch to one size'):
        check_training(cfg)


@pytest.mark.parametrize(('loss', 'message'), [
    (dict(type='CrossEntropyLoss', class_weight=[1.0, 2.0]),
     r'model.decode_head.loss_decode.class_weight has 2 weights, and the head 5 classes'),
    ([dict(type='CrossEntropyLoss', class_weight='no.npy')],
     r'there is no file no.npy \(from model.decode_head.loss_decode.class_weight\)')])
def test_class_weights_that_do_not_fit(cfg, loss, message):
    cfg.model.decode_head.loss_decode = loss
    with pytest.raises(UserError, match=message):
        check_training(cfg)


@pytest.mark.parametrize(('options', 'message'), [
    ({'val_evaluator.iou_metrics': ['mFscore']},
     r"save_best='mIoU' is not measured .* give aAcc, mFscore, mPrecision, mRecall"),
    ({'val_evaluator.prefix': 'city'}, r"save_best='mIoU' is not measured .* give city/aAcc, city/mIoU"),
    ({'default_hooks.checkpoint.save_best': ['mIoU', 'mDice']}, "save_best='mDice' is not measured")])
def test_a_best_checkpoint_by_what_is_not_measured(cfg, options, message):
    cfg.merge_from_dict(options)
    with pytest.raises(UserError, match=message):
        check_training(cfg)


@pytest.mark.parametrize('options', [
    {'val_evaluator.iou_metrics': ['mIoU', 'mDice'], 'default_hooks.checkpoint.save_best': ['mDice', 'IoU.key']},
    {'default_hooks.checkpoint.save_best': 'auto'}, {'default_hooks.checkpoint.save_best': None},
    {'val_evaluator.type': 'my.Metric', 'default_hooks.checkpoint.save_best': 'mine'}])
def test_a_best_checkpoint_by_what_is_measured(cfg, options):
    cfg.merge_from_dict(options)
    check_training(cfg)


@pytest.mark.parametrize(('options', 'where'), [
    ({'model.pretrained': 'no.pth'}, 'model.pretrained'),
    ({'model.backbone.init_cfg': dict(type='Pretrained', checkpoint='no.pth')}, 'model.backbone.init_cfg'),
    ({'model.backbone.init_cfg': [dict(type='Kaiming'), dict(type='Pretrained', checkpoint='no.pth')]},
     'model.backbone.init_cfg.1')])
def test_weights_to_start_from_that_are_missing(cfg, tmp_path, monkeypatch, options, where):
    monkeypatch.chdir(tmp_path)
    cfg.merge_from_dict(options)
    with pytest.raises(UserError, match=rf'there is no checkpoint no.pth \(from {where}') as error:
        check_training(cfg)
    assert f'--cfg-options {where}=None' in str(error.value)
    (tmp_path / 'no.pth').touch()
    check_training(cfg)


def test_weights_that_are_downloaded_are_not_looked_for(cfg):
    cfg.model.pretrained = 'open-mmlab://resnet50_v1c'
    check_training(cfg)


def test_a_data_set_answers_for_itself(monkeypatch, tmp_path):
    class Picky:
        @classmethod
        def config_problem(cls, settings):
            return 'the moon is full' if settings['moon'] else None
    monkeypatch.setitem(DATASETS.module_dict, 'Picky', Picky)
    check_dataset(dict(type='mmseg_attn.Picky', moon=0, pipeline=[], data_root='nowhere'), 'here')
    with pytest.raises(UserError, match='the moon is full'):
        check_dataset(dict(type='mmseg_attn.Picky', moon=1), 'here')


def test_a_foreign_folder_is_not_taken_for_context_shapes(tmp_path):
    (tmp_path / 'photo.jpg').touch()
    with pytest.raises(UserError, match=r'is not a ContextShapes data set \(from here.data_root\)'):
        check_dataset(dict(type='mmseg_attn.ContextShapesDataset', data_root=str(tmp_path)), 'here')


@pytest.mark.parametrize(('settings', 'message'), [
    (dict(data_root=3), 'here.data_root must be the name of a folder, got 3'),
    (dict(data_root='nowhere', data_prefix=None), r'nowhere does not exist \(from here')])
def test_a_data_set_of_a_wrong_form(settings, message):
    with pytest.raises(UserError, match=message):
        check_dataset(dict(type='BaseSegDataset', pipeline=[], **settings), 'here')


def test_a_backbone_whose_package_is_absent(cfg, monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    cfg.model.backbone = dict(type='TIMMBackbone', model_name='resnet18')
    with pytest.raises(UserError, match=r"model.backbone.type='TIMMBackbone' needs timm, whose import fails: .*\n"
                                        r".*pip install 'mmseg-attn\[backbones\]'"):
        check_config(cfg)
