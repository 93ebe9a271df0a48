"""A training that a signal stops and another continues ends with the weights of one that nothing disturbed."""

import copy
import os
import signal

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_attn.checkpoints.safe_globals import allow_mmengine_checkpoints
from mmseg_attn.common.config import load_config
from mmseg_attn.engine.stopping import StopOnSignalHook, stoppable

ITERS = 4
EPOCHS = {
    'train_cfg': dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=2, val_interval=1),
    'train_dataloader.sampler': dict(type='DefaultSampler', shuffle=True),
    'train_dataloader.dataset.indices': 4}


NARROW = {'model.backbone.stem_channels': 8, 'model.backbone.base_channels': 8, 'model.decode_head.in_channels': 16}


class SignalHook(Hook):
    """Sends this process a signal in one iteration, of the training or of its first validation."""

    def __init__(self, iteration: int, where: str, signum: int):
        self.iteration = iteration
        self.where = where
        self.signum = signum

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._send('train', runner.iter + 1)

    def before_val_iter(self, runner, batch_idx, data_batch=None) -> None:
        self._send('val', batch_idx + 1)

    def _send(self, where: str, iteration: int) -> None:
        if (where, iteration) == (self.where, self.iteration):
            os.kill(os.getpid(), self.signum)


@pytest.fixture(autouse=True)
def alone():
    """One thread, with which a CPU adds up in one order, and the handlers of before."""
    handlers = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGUSR1)}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    allow_mmengine_checkpoints()
    yield
    torch.set_num_threads(threads)
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


@pytest.fixture
def train(tmp_path, few_shapes):
    """``train(name, **changes)``: a small training in the folder of that name, with a hook or without."""
    def run(name: str, hook: Hook | None = None, **changes) -> Runner:
        cfg = load_config('configs/emanet_r18_shapes.py')
        pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
                    dict(type='Resize', scale=(48, 48)), dict(type='PackSegInputs')]
        cfg.merge_from_dict({
            **{f'{split}_dataloader.{key}': value for split in ('train', 'val', 'test') for key, value in dict(
                num_workers=0, persistent_workers=False, batch_size=1).items()},
            **{f'{split}_dataloader.dataset.{key}': value for split in ('train', 'val') for key, value in dict(
                data_root=str(few_shapes), indices=3).items()},
            'work_dir': str(tmp_path / name), 'experiment_name': f'{tmp_path.name}_{name}', 'log_level': 'WARNING',
            'model.data_preprocessor.size': (48, 48), **NARROW, 'train_dataloader.dataset.pipeline': pipeline,
            'train_cfg': dict(_delete_=True, type='IterBasedTrainLoop', max_iters=ITERS, val_interval=3),
            'default_hooks.checkpoint.interval': 100, **copy.deepcopy(changes)})  # mmengine takes _delete_ out
        runner = Runner.from_cfg(cfg)
        if hook is not None:
            runner.register_hook(hook)
        with stoppable(runner, 'GO ON'):
            runner.train()
        return runner
    return run


def _assert_stops_and_resumes_exactly(train, capsys, hook: SignalHook, reached: str, name: str, **changes) -> None:
    straight = train('straight', **changes)
    with pytest.raises(SystemExit) as stop:
        train('stopped', hook, **changes)
    assert stop.value.code == 128 + hook.signum
    said = capsys.readouterr().out
    assert f'Stopped by {signal.Signals(hook.signum).name} {reached}; the checkpoint is ' in said
    assert f'{name}. Go on with:\n  GO ON' in said
    resumed = train('stopped', resume=True, **changes)
    assert resumed.iter == straight.iter
    for key, value in straight.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[key], value), key


@pytest.mark.slow
def test_in_an_iteration(train, capsys):
    _assert_stops_and_resumes_exactly(train, capsys, SignalHook(2, 'train', signal.SIGUSR1),
                                      f'after iteration 2 of {ITERS}', 'iter_2.pth')


@pytest.mark.slow
def test_in_a_validation(train, capsys):
    _assert_stops_and_resumes_exactly(train, capsys, SignalHook(2, 'val', signal.SIGTERM),
                                      f'in the validation after iteration 3 of {ITERS}', 'iter_3.pth')


@pytest.mark.slow
def test_in_a_validation_of_averaged_weights(train, capsys):
    hooks = [dict(type='mmseg_attn.ExactResumeHook'), dict(type='EMAHook', momentum=0.1)]
    _assert_stops_and_resumes_exactly(train, capsys, SignalHook(2, 'val', signal.SIGTERM),
                                      f'in the validation after iteration 3 of {ITERS}', 'iter_3.pth',
                                      custom_hooks=hooks)


@pytest.mark.slow
def test_under_autocast(train, capsys):
    changes = {'optim_wrapper.type': 'mmseg_attn.CPUAmpOptimWrapper', 'val_cfg.fp16': True}
    _assert_stops_and_resumes_exactly(train, capsys, SignalHook(2, 'train', signal.SIGUSR1),
                                      f'after iteration 2 of {ITERS}', 'iter_2.pth', **changes)


@pytest.mark.slow
def test_between_accumulated_gradients(train, capsys):
    changes = {'optim_wrapper.accumulative_counts': 2}
    _assert_stops_and_resumes_exactly(train, capsys, SignalHook(1, 'train', signal.SIGTERM),
                                      f'after iteration 2 of {ITERS}', 'iter_2.pth', **changes)


@pytest.mark.slow
@pytest.mark.parametrize('by_epoch', [True, False])
def test_in_the_middle_of_an_epoch(train, capsys, by_epoch):
    name = 'epoch_1_iter_6.pth' if by_epoch else 'iter_6.pth'
    _assert_stops_and_resumes_exactly(
        train, capsys, SignalHook(6, 'train', signal.SIGTERM), 'after iteration 6 of 8', name,
        **EPOCHS, **{'default_hooks.checkpoint.by_epoch': by_epoch})


@pytest.mark.slow
def test_in_the_last_iteration_of_an_epoch(train, capsys):
    _assert_stops_and_resumes_exactly(
        train, capsys, SignalHook(4, 'train', signal.SIGTERM), 'after iteration 4 of 8', 'epoch_0_iter_4.pth',
        **EPOCHS, **{'default_hooks.checkpoint.by_epoch': True})


@pytest.mark.slow
def test_in_the_validation_after_an_epoch(train, capsys):
    _assert_stops_and_resumes_exactly(
        train, capsys, SignalHook(2, 'val', signal.SIGTERM), 'in the validation after iteration 4 of 8', 'epoch_1.pth',
        **EPOCHS, **{'default_hooks.checkpoint.by_epoch': True})


def test_a_checkpoint_that_is_there_serves(train, tmp_path, capsys):
    class CountHook(SignalHook):
        saved = 0

        def before_save_checkpoint(self, runner, checkpoint) -> None:
            self.saved += 1

    hook = CountHook(2, 'train', signal.SIGTERM)
    with pytest.raises(SystemExit):
        train('stopped', hook, **{'default_hooks.checkpoint.interval': 2})
    assert 'iter_2.pth' in capsys.readouterr().out
    assert hook.saved == 1


def test_nothing_to_save_with(train, capsys):
    with pytest.raises(SystemExit, match='143'):
        train('stopped', SignalHook(2, 'train', signal.SIGTERM), **{'default_hooks.checkpoint': None})
    assert 'nothing is saved, because the config has no CheckpointHook' in capsys.readouterr().out


def test_several_processes_ask_each_other_now_and_then(monkeypatch):
    asked = []
    monkeypatch.setattr('mmseg_attn.engine.stopping.get_world_size', lambda: 2)
    monkeypatch.setattr('mmseg_attn.engine.stopping._agree', lambda number, operation: asked.append(operation) or 0)
    hook = StopOnSignalHook(interval=5)
    for iteration in range(1, 21):
        hook._ask(iteration)
    assert asked == ['max'] * 4
