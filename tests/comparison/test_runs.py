"""What is read from the log of a training, and whose folder it is."""

import copy
import json
import sys

import pytest
from mmengine.config import Config

from mmseg_attn.common.config import load_config
from mmseg_attn.common.errors import UserError
from mmseg_attn.comparison import runs
from mmseg_attn.engine.checkpoint_hook import use_safe_checkpoints
from mmseg_attn.engine.visualization_hook import show_loaded_images

CONFIG = Config(dict(train_cfg=dict(max_iters=4), randomness=dict(seed=3), size=(4, 4)))
# Stands for train.py: takes the same arguments, writes what mmengine writes.
TRAINER = '''
import json, pathlib, sys
folder = pathlib.Path(sys.argv[sys.argv.index('--work-dir') + 1]) / '20260101_000000' / 'vis_data'
folder.mkdir(parents=True)
lines = LINES
(folder / 'scalars.json').write_text('\\n'.join(json.dumps(line) for line in lines) + '\\n{"st')
print('error: the data are gone' if FAILS else 'done')
sys.exit(FAILS)
'''
LINES = [dict(loss=2.5, time=0.5, step=1), dict(loss=1.5, time=0.25, step=2), dict(mIoU=20.0, aAcc=50.0, step=2),
         dict(loss=1.0, time=0.3, step=4), {'mIoU': 40.0, 'IoU.sky': 60.0, 'IoU.car': 20.0, 'step': 4}]


def _train(folder, lines=LINES, fails=0):
    script = TRAINER.replace('LINES', repr(lines)).replace('FAILS', str(fails))
    return runs.train(folder, CONFIG, [sys.executable, '-c', script], lambda iters: None)


def test_a_training_is_read_back(tmp_path):
    run = _train(tmp_path / 'a')
    assert run == runs.TrainingRun(seed=3, iters=4, miou=40.0, classes=dict(sky=60.0, car=20.0),
                                   curve=[(2, 20.0), (4, 40.0)],
                                   losses=[(1, 2.5), (2, 1.5), (4, 1.0)], seconds_per_iter=0.3, memory_mib=None)
    assert runs.read(tmp_path / 'a') == run
    assert runs.read(tmp_path) is None


def test_an_interrupted_training_counts_once(tmp_path):
    earlier = tmp_path / 'a' / '20250101_000000' / 'vis_data'
    earlier.mkdir(parents=True)
    lines = [dict(loss=9.0, step=1), dict(mIoU=1.0, step=2)]
    (earlier / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
    run = _train(tmp_path / 'a')
    assert run.losses[0] == (1, 2.5)
    assert run.curve == [(2, 20.0), (4, 40.0)]


def test_failures_say_why(tmp_path):
    with pytest.raises(runs.TrainingError, match=r'the data are gone .*train\.log'):
        _train(tmp_path / 'a', fails=2)
    with pytest.raises(runs.TrainingError, match='no validation with a mIoU after 4'):
        _train(tmp_path / 'b', lines=LINES[:-1])
    assert runs.read(tmp_path / 'a') is None
    assert runs.read(tmp_path / 'b') is None


def test_another_config_is_another_training(tmp_path):
    runs.check_folder(tmp_path / 'a', CONFIG)
    _train(tmp_path / 'a')
    runs.check_folder(tmp_path / 'a', CONFIG)
    Config(dict(CONFIG.to_dict(), launcher='none', resume=True, work_dir='a')).dump(tmp_path / 'a' / 'config.py')
    runs.check_folder(tmp_path / 'a', CONFIG)
    other = Config(dict(CONFIG.to_dict(), train_cfg=dict(max_iters=5)))
    with pytest.raises(UserError, match=r'other settings \(train_cfg.max_iters\)'):
        runs.check_folder(tmp_path / 'a', other)


def test_the_hooks_of_train_are_no_other_settings(tmp_path):
    cfg = load_config('configs/emanet_r18_shapes.py')
    trained = copy.deepcopy(cfg)
    use_safe_checkpoints(trained)
    show_loaded_images(trained)
    assert trained.default_hooks != cfg.default_hooks
    trained.dump(tmp_path / runs.CONFIG)
    runs.check_folder(tmp_path, cfg)


def test_seeds_do_not_touch_the_config():
    assert runs.with_seed(CONFIG, 7).randomness.seed == 7
    assert CONFIG.randomness.seed == 3
