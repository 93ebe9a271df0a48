import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner

from mmseg_attn.checkpoints.safe_globals import allow_mmengine_checkpoints
from mmseg_attn.common.config import load_config
from mmseg_attn.common.errors import UserError
from mmseg_attn.engine.label_hook import CheckLabelsHook

NARROW = {'model.backbone.stem_channels': 8, 'model.backbone.base_channels': 8, 'model.decode_head.in_channels': 16}


def _runner(tmp_path, name, few_shapes, max_iters, **changes) -> Runner:
    cfg = load_config('configs/emanet_r18_shapes.py')
    cfg.merge_from_dict({
        # Loaders that Python collects before their workers have ended wait for them for five seconds each.
        **{f'{split}_dataloader.num_workers': 0 for split in ('train', 'val', 'test')},
        **{f'{split}_dataloader.persistent_workers': False for split in ('train', 'val', 'test')},
        'work_dir': str(tmp_path / name), 'experiment_name': name, 'log_level': 'WARNING',
        'train_dataloader.batch_size': 2, 'train_dataloader.dataset.data_root': str(few_shapes),
        'val_dataloader.dataset.data_root': str(few_shapes), 'val_dataloader.dataset.indices': 2,
        'train_cfg.max_iters': max_iters, 'train_cfg.val_interval': 2, 'default_hooks.checkpoint.interval': 2,
        'default_hooks.checkpoint.save_best': None, **NARROW, **changes})
    return Runner.from_cfg(cfg)


@pytest.mark.slow
@pytest.mark.parametrize('num_workers', [0, 2])
def test_resuming_gives_the_weights_of_a_straight_run(tmp_path, few_shapes, num_workers):
    workers = {'train_dataloader.num_workers': num_workers, 'train_dataloader.persistent_workers': num_workers > 0,
               'train_cfg.val_interval': 100}
    allow_mmengine_checkpoints()
    straight = _runner(tmp_path, f'straight{num_workers}', few_shapes, 4, **workers).train()
    _runner(tmp_path, f'first{num_workers}', few_shapes, 2, **workers).train()
    resumed = _runner(tmp_path, f'resumed{num_workers}', few_shapes, 4, resume=True,
                      load_from=str(tmp_path / f'first{num_workers}' / 'iter_2.pth'), **workers).train()
    for key, value in straight.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[key], value, rtol=1e-5, atol=1e-6, msg=key)
    assert not torch.equal(straight.decode_head.attention.bases, torch.zeros(()))


def test_a_label_that_is_no_class_is_named(tmp_path, few_shapes):
    runner = _runner(tmp_path, 'labels', few_shapes, 2)
    runner.model.decode_head.num_classes = 3
    hook = next(h for h in runner.hooks if type(h).__name__ == 'CheckLabelsHook')
    batch = next(iter(runner.build_dataloader(copy.deepcopy(runner.cfg.train_dataloader))))
    with pytest.raises(UserError, match=r'train_\d+.png holds the values \[.*4.*\], which are no classes'):
        hook.before_train_iter(runner, 0, batch)
    runner.model.decode_head.num_classes = 5
    hook.before_train_iter(runner, 0, batch)
    # Of loading steps of the user's own, which mmseg does not cast to 8 bits.
    batch['data_samples'][0].gt_sem_seg.data[0, 0, 0] = -1
    with pytest.raises(UserError, match=r'train_\d+.png holds the values \[-1\], which are no classes'):
        hook.before_train_iter(runner, 0, batch)


def test_a_wrong_number_of_classes_stops_the_training(tmp_path, few_shapes):
    runner = _runner(tmp_path, 'classes', few_shapes, 2, **{
        'model.decode_head.num_classes': 7, 'model.decode_head.loss_decode.class_weight': None})
    with pytest.raises(UserError, match='num_classes=5'):
        runner.train()


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path, few_shapes):
    runner = _runner(tmp_path, 'nan', few_shapes, 2)
    next(h for h in runner.hooks if type(h).__name__ == 'CheckInvalidLossHook').interval = 1
    runner.model.decode_head.loss_decode.loss_weight = float('nan')
    with pytest.raises(UserError, match='the loss is nan in iteration 1'):
        runner.train()


def test_a_softmax_of_one_channel_stops_the_training():
    loss = torch.nn.Module()
    loss.use_sigmoid = False
    head = SimpleNamespace(num_classes=2, out_channels=1, loss_decode=loss)
    dataset = SimpleNamespace(metainfo=dict(classes=('background', 'object')))
    runner = SimpleNamespace(model=SimpleNamespace(decode_head=head),
                             train_dataloader=SimpleNamespace(dataset=dataset))
    with pytest.raises(UserError, match='softmax makes 1 everywhere'):
        CheckLabelsHook().before_train(runner)
    loss.use_sigmoid = True
    CheckLabelsHook().before_train(runner)
