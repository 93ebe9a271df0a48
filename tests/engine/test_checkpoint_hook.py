"""What lies in the work dir after checkpoints, validations, resumptions and errors."""

import errno
import math
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook as MMEngineCheckpointHook
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_attn.checkpoints.reading import read_content
from mmseg_attn.common import files
from mmseg_attn.common.config import load_config
from mmseg_attn.common.errors import UserError
from mmseg_attn.engine.checkpoint_hook import CheckpointHook, use_safe_checkpoints
from mmseg_attn.engine.loading import CheckLoadedWeightsHook, name_errors_of_loading
from tests.faults import toy


def _runner(folder: Path, *, resume: str | None = None, max_iters: int = 6, **changes) -> Runner:
    path = folder.with_suffix('.py')
    path.write_text(toy.CONFIG.format(megabytes=0.01, max_iters=max_iters, interval=2))
    cfg = load_config(path, {'experiment_name': str(folder), 'resume': bool(resume),
                             'load_from': resume and str(resume), **changes}, str(folder))
    use_safe_checkpoints(cfg)
    return Runner.from_cfg(cfg)


def _train(folder: Path, **kwargs) -> Runner:
    runner = _runner(folder, **kwargs)
    runner.train()
    return runner


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix == '.pth' or path.name == 'last_checkpoint')


class Scores(Hook):
    """Replaces the scores of the validations."""

    priority = 'VERY_HIGH'

    def __init__(self, *scores):
        self.scores = list(scores)

    def after_val_epoch(self, runner, metrics=None):
        metrics['score'] = self.scores.pop(0)


def test_what_lies_there_at_the_end(tmp_path):
    _train(tmp_path / 'run')
    assert _files(tmp_path / 'run') == ['best_score_iter_6.pth', 'iter_4.pth', 'iter_6.pth', 'last_checkpoint']
    assert (tmp_path / 'run' / 'last_checkpoint').read_text() == 'iter_6.pth'
    info = read_content(tmp_path / 'run' / 'iter_6.pth')['message_hub']['runtime_info']
    assert info['best_ckpt'] == 'best_score_iter_6.pth'
    assert (info['best_score'], info['last_ckpt'], info['last_validation']) == (6, 'iter_6.pth', 6)
    assert not list((tmp_path / 'run').glob('.*'))


def test_the_first_validation_is_the_best_so_far_whatever_its_score(tmp_path):
    runner = _runner(tmp_path / 'run')
    runner.register_hook(Scores(-math.inf, -math.inf, -math.inf))
    runner.train()
    assert _files(tmp_path / 'run')[0] == 'best_score_iter_2.pth'


def test_a_new_best_is_whole_before_the_old_one_goes(tmp_path, monkeypatch):
    seen = []
    replace = files.os.replace

    def look(source, target):
        seen.append(sorted(path.name for path in (tmp_path / 'run').glob('best*')))
        replace(source, target)
    monkeypatch.setattr(files.os, 'replace', look)
    _train(tmp_path / 'run')
    first = seen.index(['best_score_iter_2.pth'])
    assert all(seen[first:])


def test_a_copy_leaves_the_original_alone(tmp_path):
    _train(tmp_path / 'a', max_iters=4)
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    before = {path.name: path.read_bytes() for path in (tmp_path / 'a').glob('*.pth')}
    _train(tmp_path / 'b', resume=tmp_path / 'b' / 'iter_4.pth')
    assert {path.name: path.read_bytes() for path in (tmp_path / 'a').glob('*.pth')} == before
    assert _files(tmp_path / 'b') == ['best_score_iter_6.pth', 'iter_4.pth', 'iter_6.pth', 'last_checkpoint']


def test_names_of_mmengine_in_a_copy(tmp_path):
    _train(tmp_path / 'a', max_iters=4)
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    content = read_content(tmp_path / 'b' / 'iter_4.pth')
    content['message_hub']['runtime_info']['best_ckpt'] = str(tmp_path / 'a' / 'best_score_iter_4.pth')
    torch.save(content, tmp_path / 'b' / 'iter_4.pth')
    _train(tmp_path / 'b', resume=tmp_path / 'b' / 'iter_4.pth')
    assert (tmp_path / 'a' / 'best_score_iter_4.pth').is_file()
    assert _files(tmp_path / 'b')[0] == 'best_score_iter_6.pth'


class CutOff(Hook):
    def before_val_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 4:
            raise KeyboardInterrupt


def test_a_validation_that_was_cut_off_is_repeated(tmp_path):
    straight = _train(tmp_path / 'straight')
    runner = _runner(tmp_path / 'run')
    runner.register_hook(CutOff())
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert _files(tmp_path / 'run') == ['best_score_iter_2.pth', 'iter_2.pth', 'iter_4.pth', 'last_checkpoint']
    resumed = _runner(tmp_path / 'run', resume=tmp_path / 'run' / 'iter_4.pth')
    scores = []
    resumed.register_hook(type('Log', (Hook, ), dict(
        after_val_epoch=lambda self, runner, metrics=None: scores.append((runner.iter, metrics['score']))))())
    resumed.train()
    assert scores == [(4, 4), (6, 6)]
    assert torch.equal(resumed.model.weight, straight.model.weight)
    assert _files(tmp_path / 'run') == _files(tmp_path / 'straight')
    scores.clear()
    again = _runner(tmp_path / 'run', resume=tmp_path / 'run' / 'iter_6.pth')
    again.register_hook(CutOff())
    again.train()
    assert not scores


def test_a_best_of_a_validation_that_is_repeated_stays_until_its_end(tmp_path, monkeypatch):
    write, folder = CheckpointHook._write, tmp_path / 'run'

    def cut_off(self, runner, name, **kwargs):
        if name == 'iter_4.pth' and (folder / name).is_file():
            raise KeyboardInterrupt  # when the scores are added to it
        write(self, runner, name, **kwargs)
    monkeypatch.setattr(CheckpointHook, '_write', cut_off)
    with pytest.raises(KeyboardInterrupt):
        _train(folder)
    monkeypatch.undo()
    assert (folder / 'best_score_iter_4.pth').is_file()
    resumed = _runner(folder, resume=folder / 'iter_4.pth')
    seen = []
    resumed.register_hook(type('Look', (Hook, ), dict(before_val_iter=lambda self, runner, **kwargs: seen.append(
        (folder / f'best_score_iter_{min(runner.iter, 4)}.pth').is_file())))())
    resumed.train()
    assert seen
    assert all(seen)
    assert _files(folder)[0] == 'best_score_iter_6.pth'
    assert sum(name.startswith('best') for name in _files(folder)) == 1


def test_a_stale_best_of_a_kill_is_removed(tmp_path):
    _train(tmp_path / 'run', max_iters=4)
    shutil.copy(tmp_path / 'run' / 'best_score_iter_4.pth', tmp_path / 'run' / 'best_score_iter_2.pth')
    _train(tmp_path / 'run', resume=tmp_path / 'run' / 'iter_4.pth', max_iters=5)
    assert [name for name in _files(tmp_path / 'run') if name.startswith('best')] == ['best_score_iter_5.pth']


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    runner = _runner(tmp_path / 'run', **{'optim_wrapper.optimizer.lr': 1e30, 'custom_hooks': []})
    with pytest.raises(UserError, match=r'iteration 2, which is not saved: weight holds .* the training has diverged'):
        runner.train()
    assert not list((tmp_path / 'run').glob('*.pth'))


@pytest.mark.parametrize('interval', [1, 50])
def test_a_loss_that_is_not_finite_is_found_before_anything_is_saved(tmp_path, interval):
    with pytest.raises(UserError, match=r'the loss is (nan|inf) in iteration [12] or shortly before'):
        _train(tmp_path / 'run', **{'optim_wrapper.optimizer.lr': 1e30, 'custom_hooks': [
            dict(type='mmseg_attn.CheckInvalidLossHook', interval=interval)]})
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_a_loss_that_is_always_0_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(toy.ToyModel, 'forward', lambda self, inputs, mode: dict(loss=0 * self.weight.sum())
                        if mode == 'loss' else [1.0] * len(inputs))
    with pytest.raises(UserError, match=r'exactly 0 in the last 3 iterations.*all labels ignored'):
        _train(tmp_path / 'run', **{'custom_hooks.1.interval': 3})
    with pytest.raises(UserError, match='exactly 0 in the last 6 iterations'):
        _train(tmp_path / 'other')


@pytest.mark.parametrize(('score', 'message'), [
    ({}, "save_best='score' is none of the metrics of the validation: other"),
    (dict(score=math.nan), 'score of the validation is nan: all pixels of its labels are ignored'),
    ({'score': 1.0, 'val/mDice': np.float32('nan')}, 'val/mDice of the validation is nan')])
def test_a_metric_that_is_missing_or_nan(tmp_path, monkeypatch, score, message):
    monkeypatch.setattr(toy.ToyMetric, 'compute_metrics', lambda self, results: dict(other=1.0, **score))
    with pytest.raises(UserError, match=message):
        _train(tmp_path / 'run')


@pytest.mark.parametrize('name', ['CheckpointHook', 'mmengine.CheckpointHook', 'mmengine.hooks.CheckpointHook',
                                  'mmengine.hooks.checkpoint_hook.CheckpointHook', MMEngineCheckpointHook])
def test_mmengines_hook_is_replaced_whatever_it_is_called(name):
    cfg = Config(dict(default_hooks=dict(checkpoint=dict(type=name, interval=3)), custom_hooks=[dict(type='EMAHook')]))
    use_safe_checkpoints(cfg)
    assert cfg.default_hooks.checkpoint == dict(type='mmseg_attn.CheckpointHook', interval=3)
    assert cfg.custom_hooks == [dict(type='EMAHook')]


def test_arguments_of_the_hook_that_are_wrong():
    for arguments in dict(save_best='mFscore'), dict(save_best='mIoU', rule='best'), dict(save_begin=-1):
        with pytest.raises(UserError, match='the CheckpointHook of the config cannot be built'):
            use_safe_checkpoints(Config(dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook', **arguments)))))


def test_a_full_disk_leaves_the_state_before(tmp_path, monkeypatch):
    save = Runner.save_checkpoint

    def full(self, out_dir, filename, **kwargs):
        if filename == 'iter_4.pth':
            Path(out_dir, filename).write_bytes(b'half')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, out_dir, filename, **kwargs)
    monkeypatch.setattr(Runner, 'save_checkpoint', full)
    with pytest.raises(UserError, match=r'cannot write .*/run/iter_4\.pth: No space left on device'):
        _train(tmp_path / 'run')
    assert _files(tmp_path / 'run') == ['best_score_iter_2.pth', 'iter_2.pth', 'last_checkpoint']
    assert not list((tmp_path / 'run').glob('.partial*'))
    monkeypatch.undo()
    resumed = _train(tmp_path / 'run', resume=tmp_path / 'run' / 'iter_2.pth')
    assert torch.equal(resumed.model.weight, _train(tmp_path / 'straight').model.weight)


def test_several_metrics_and_published_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setattr(toy.ToyMetric, 'compute_metrics', lambda self, results: dict(
        score=float(results[0]), loss=float(results[0])))
    _train(tmp_path / 'run', **{'default_hooks.checkpoint': dict(
        type='CheckpointHook', by_epoch=False, interval=2, max_keep_ckpts=1, save_best=['score', 'loss'],
        rule=['greater', 'less'], published_keys=['meta', 'state_dict'])})
    found = _files(tmp_path / 'run')
    assert [name.partition('-')[0] for name in found] == [
        'best_loss_iter_2', 'best_loss_iter_2.pth', 'best_score_iter_6', 'best_score_iter_6.pth', 'iter_6',
        'iter_6.pth', 'last_checkpoint']
    assert read_content(tmp_path / 'run' / found[0]).keys() == {'meta', 'state_dict'}


@pytest.mark.parametrize(('before', 'after', 'kept'), [
    ('score', ['score', 'loss'], True), (['score', 'loss'], 'score', True), ('loss', 'score', False),
    ('score', 'auto', True)])
def test_a_best_score_is_that_of_its_metric(tmp_path, before, after, kept):
    """Scores get worse from 9 on: what is resumed with its best score keeps the best checkpoint."""
    def hook(save_best):
        return {'default_hooks.checkpoint': dict(type='CheckpointHook', by_epoch=False, interval=2, save_best=save_best,
                                                 rule='greater')}
    for metrics, max_iters, resume in (before, 4, None), (after, 6, tmp_path / 'run' / 'iter_4.pth'):
        runner = _runner(tmp_path / 'run', max_iters=max_iters, resume=resume, **hook(metrics))
        runner.register_hook(type('Worse', (Hook, ), dict(
            priority='VERY_HIGH', after_val_epoch=lambda self, runner, metrics=None: metrics.update(
                score=9 - runner.iter, loss=100 - runner.iter)))())
        runner.train()
    assert ('best_score_iter_2.pth' in _files(tmp_path / 'run')) == kept
    assert ('best_score_iter_6.pth' in _files(tmp_path / 'run')) != kept


def test_a_best_score_is_not_replaced_by_that_of_an_earlier_form(tmp_path):
    """One metric, then two, and those resumed again: the best is not the one of the time when there was one."""
    path = None
    for max_iters, metrics in (2, 'score'), (4, ['score', 'loss']), (6, ['score', 'loss']):
        runner = _runner(tmp_path / 'run', max_iters=max_iters, resume=path, **{'default_hooks.checkpoint': dict(
            type='CheckpointHook', by_epoch=False, interval=2, save_best=metrics, rule='greater')})
        runner.register_hook(type('Scored', (Hook, ), dict(
            priority='VERY_HIGH', after_val_epoch=lambda self, runner, metrics=None: metrics.update(
                score={2: 1, 4: 9, 6: 5}[runner.iter], loss=1)))())
        runner.train()
        path = tmp_path / 'run' / f'iter_{max_iters}.pth'
    assert 'best_score_iter_4.pth' in _files(tmp_path / 'run')
    info = read_content(path)['message_hub']['runtime_info']
    assert (info['best_score_score'], info.get('best_score')) == (9, None)


def test_a_checkpoint_between_two_updates_is_told(tmp_path):
    _train(tmp_path / 'run', **{'optim_wrapper.accumulative_counts': 4})
    log, = (tmp_path / 'run').glob('*/*.log')
    warnings = [line for line in log.read_text().splitlines() if 'between two updates' in line]
    assert len(warnings) > 0
    assert all('iter_2.pth' in line for line in warnings)


@pytest.mark.parametrize('template', ['ck.pth', '{}_{}.pth', 'x%d.pth', 'a_{name}.pth', 7])
def test_names_that_do_not_tell_checkpoints_apart(tmp_path, template):
    with pytest.raises(UserError, match='must have one place for a number'):
        _runner(tmp_path / 'run', **{'default_hooks.checkpoint.filename_tmpl': template})


def _checked(tmp_path, purpose, change):
    _train(tmp_path / 'run', max_iters=2)
    content = read_content(tmp_path / 'run' / 'iter_2.pth')
    change(content)
    torch.save(content, tmp_path / 'changed.pth')
    runner = _runner(tmp_path / 'other', resume=tmp_path / 'changed.pth' if purpose == 'resume' else None,
                     load_from=str(tmp_path / 'changed.pth'))
    runner.register_hook(CheckLoadedWeightsHook('changed.pth', purpose))
    if purpose == 'resume':
        name_errors_of_loading(runner, 'changed.pth')
    runner.train()
    return runner


def _wrap(content):
    content['state_dict'] = {f'module.{name}': value for name, value in content['state_dict'].items()}


@pytest.mark.parametrize(('purpose', 'change', 'message'), [
    ('resume', lambda c: c['state_dict'].pop('weight'), r'1 missing: weight\n  Resume with the config'),
    ('resume', lambda c: c['state_dict'].update(more=torch.ones(2)), '1 unexpected: more'),
    ('resume', lambda c: c['state_dict'].update(weight=torch.ones(2)), r'weight \(2,\) instead of \(8,\)'),
    ('resume', lambda c: c.pop('optimizer'), 'no state of a training .optimizer missing.(.|\n)*load_from'),
    ('resume', lambda c: c.pop('meta'), r'meta\.iter, meta\.epoch missing'),
    ('resume', lambda c: c['message_hub'].clear(), 'message_hub missing'),
    ('resume', lambda c: c['message_hub'].update(log_scalars=[]), r'message_hub\.log_scalars missing'),
    ('resume', lambda c: c['meta'].update(iter=-5), r'meta\.iter missing'),
    ('resume', lambda c: c['message_hub']['runtime_info'].update(keep_ckpt_ids=7), 'keep_ckpt_ids is 7'),
    ('resume', lambda c: c['message_hub']['runtime_info'].update(best_ckpt=5), 'best_ckpt is 5'),
    ('resume', lambda c: c['meta'].update(seed='x'), 'the state of the training in it does not fit'),
    ('resume', lambda c: c.pop('param_schedulers'), 'optimizer or its schedules are not those of the config'),
    ('resume', lambda c: c['param_schedulers'][0].update(step='x', get_last_value=1) or c['param_schedulers'][0].pop(
        'last_step'), 'optimizer or its schedules'),
    ('resume', lambda c: c['optimizer']['param_groups'][0].update(betas=1) or c['optimizer']['param_groups'][0].pop(
        'momentum'), 'optimizer or its schedules'),
    ('test', lambda c: c['state_dict'].update(weight=torch.ones(8, dtype=torch.int64)), r'weight holds torch\.int64'),
    ('test', lambda c: c['state_dict'].update(weight=torch.ones(8).to_sparse()), 'weight is a sparse'),
    ('start', lambda c: c['state_dict'].update(weight=torch.full((8, ), math.nan).to(torch.float8_e4m3fn)),
     'weight holds values that are not'),
    ('start', lambda c: c.update(state_dict=dict(more=torch.ones(2))), 'none of its 1 weights is one of the model'),
    ('start', lambda c: c['state_dict'].update(weight=torch.full((8, ), math.nan)), 'weight holds values that are not'),
    ('test', lambda c: c['state_dict'].pop('weight'), '1 missing: weight\n  Give the config')])
def test_weights_that_do_not_fit(tmp_path, purpose, change, message):
    with pytest.raises(UserError, match=message):
        _checked(tmp_path, purpose, change)


@pytest.mark.parametrize(('purpose', 'change'), [
    ('resume', _wrap), ('start', _wrap), ('start', lambda c: c['state_dict'].pop('ballast')),
    ('test', lambda c: c['state_dict'].update({'auxiliary_head.weight': torch.ones(2)}))])
def test_weights_that_fit(tmp_path, purpose, change):
    assert torch.isfinite(_checked(tmp_path, purpose, change).model.weight).all()
