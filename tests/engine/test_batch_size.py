import pytest
from mmengine.config import Config

from mmseg_attn.engine.batch_size import count_accumulation, describe_batch_size


@pytest.mark.parametrize(('processes', 'accumulate', 'scale', 'expected'), [
    (4, 1, False, 'Effective batch size 16 = 4 images x 4 processes; learning rate 0.009.'),
    (1, 4, False, 'Effective batch size 16 = 4 images x 1 processes x 4 accumulated; learning rate 0.009.'),
    (1, 1, False, 'chosen for a batch of 16'),
    (1, 4, True, 'learning rate 0.009, scaled from 0.009 for 16.'),
    (2, 1, True, 'Effective batch size 8 = 4 images x 2 processes; learning rate 0.0045, scaled from 0.009 for 16.'),
])
def test_says_what_the_training_really_uses(processes, accumulate, scale, expected):
    cfg = Config.fromfile('configs/emanet_r101_voc.py')
    cfg.optim_wrapper.accumulative_counts = accumulate
    cfg.auto_scale_lr.enable = scale
    count_accumulation(cfg)
    assert expected in describe_batch_size(cfg, processes)
