"""What is printed for a shell makes one config the other."""

import argparse
import shlex

from mmengine.config import Config, DictAction

from mmseg_attn.checkpoints.model import model_config, overrides_between
from mmseg_attn.checkpoints.options import as_options
from mmseg_attn.common.shipped import configs_folder


def test_options_from_the_shell_make_the_model():
    cfg = Config.fromfile(configs_folder() / 'official' / 'ccnet_r101_cityscapes.py')
    wanted = model_config('official/danet_r101_cityscapes.py')
    wanted['auxiliary_head'] = dict(cfg.model.auxiliary_head, act_cfg=dict(type='ReLU'), num_classes=7)
    wanted['decode_head'] = dict(cfg.model.decode_head, act_cfg=None, type='mmseg_attn.DAHead', pam_channels=6)
    before = cfg.model.to_dict()
    overrides = overrides_between(before, wanted)
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    cfg.merge_from_dict(parser.parse_args(['--cfg-options', *shlex.split(as_options(overrides, before))]).cfg_options)
    assert overrides_between(cfg.model.to_dict(), wanted) == {}
    assert cfg.model.auxiliary_head.act_cfg == dict(type='ReLU')
    assert cfg.model.backbone.multi_grid == (4, 8, 16)
    assert cfg.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
