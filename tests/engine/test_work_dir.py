"""From where a training starts, and that no two share a work dir."""

import json
import os
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from mmseg_attn.common.errors import UserError
from mmseg_attn.engine import work_dir
from mmseg_attn.engine.work_dir import AUTO, BeginHook, only_training_in, prepare_work_dir


def _save(path, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    hub = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    content = dict(state_dict=dict(a=torch.ones(3)), meta=dict(iter=4, epoch=0), message_hub=hub,
                   optimizer=dict(state={}, param_groups=[]))
    torch.save(content | changes, path)
    return path


@pytest.fixture
def cfg(tmp_path):
    return Config(dict(work_dir=str(tmp_path / 'run'), default_hooks=dict(checkpoint=dict(type='CheckpointHook'))))


@pytest.fixture
def run(tmp_path):
    """The folder of a training of 4 iterations, with all that it saved."""
    for name in 'iter_2.pth', 'iter_4.pth', 'best_mIoU_iter_4.pth', 'best_loss_iter_2.pth':
        _save(tmp_path / 'run' / name)
    (tmp_path / 'run' / 'last_checkpoint').write_text('iter_4.pth')
    return tmp_path / 'run'


def _prepare(cfg, resume=None, overwrite=False):
    given_up = prepare_work_dir(cfg, resume, overwrite, is_main=True)
    BeginHook(given_up).before_train(SimpleNamespace(iter=0, work_dir=cfg.work_dir))
    return cfg.resume, cfg.get('load_from')


def test_a_new_folder(cfg, capsys):
    assert _prepare(cfg) == (False, None)
    assert _prepare(cfg, AUTO) == (False, None)
    assert 'there is no checkpoint in' in capsys.readouterr().out


def test_two_trainings_do_not_mix(cfg, run):
    with pytest.raises(UserError, match=r'(?s)iter_4\.pth.*--resume.*--overwrite.*--work-dir'):
        _prepare(cfg)
    with pytest.raises(UserError, match='give one of them'):
        _prepare(cfg, AUTO, overwrite=True)
    assert len(os.listdir(run)) == 5


def test_overwrite_removes_what_the_earlier_training_saved(cfg, run):
    mine = ['best_practices_2025.md', 'best_run_of_2024.pth', 'model.pth']
    for name in mine:
        _save(run / name)
    for name in 'best_pictures_10', 'iter_9.pth':
        (run / name).mkdir()
    assert _prepare(cfg, overwrite=True) == (False, None)
    assert sorted(os.listdir(run)) == sorted([*mine, 'best_pictures_10', 'iter_9.pth'])


def test_overwrite_keeps_what_the_new_training_starts_from(cfg, run):
    cfg.load_from = str(run / 'best_mIoU_iter_4.pth')
    _prepare(cfg, overwrite=True)
    assert os.listdir(run) == ['best_mIoU_iter_4.pth']


def test_nothing_is_removed_before_the_training_begins(cfg, run):
    assert len(prepare_work_dir(cfg, None, True, is_main=True)) == 5
    assert len(os.listdir(run)) == 5


def test_a_job_that_is_started_again_goes_on_with_its_own_training_only(cfg, run, monkeypatch):
    monkeypatch.setattr(work_dir, 'JOB', '17')
    assert not work_dir.is_of_this_job(run)
    BeginHook([]).before_train(SimpleNamespace(iter=0, work_dir=str(run)))
    assert work_dir.is_of_this_job(run)
    monkeypatch.setattr(work_dir, 'JOB', '18')
    assert not work_dir.is_of_this_job(run)


def test_the_newest_is_resumed(cfg, run):
    assert _prepare(cfg, AUTO) == (True, str(run / 'iter_4.pth'))


@pytest.mark.parametrize('pointer', [None, '', 'iter_2.pth', '/elsewhere/iter_9.pth'])
def test_whatever_last_checkpoint_says(cfg, run, pointer):
    (run / 'last_checkpoint').unlink() if pointer is None else (run / 'last_checkpoint').write_text(pointer)
    assert _prepare(cfg, AUTO) == (True, str(run / 'iter_4.pth'))


def _cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def _flip(path):
    content = bytearray(path.read_bytes())
    content[content.index(torch.ones(3).numpy().tobytes())] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(('damage', 'message'), [
    (_cut, 'is damaged'), (_flip, 'is damaged'), (lambda path: path.write_bytes(b''), 'is empty'),
    (lambda path: _save(path, state_dict=dict(a=torch.tensor(float('nan')))), 'not finite'),
    (lambda path: _save(path, optimizer=None), 'optimizer missing')])
def test_an_older_one_where_the_newest_is_not_whole(cfg, run, damage, message, capsys):
    damage(run / 'iter_4.pth')
    assert _prepare(cfg, AUTO) == (True, str(run / 'iter_2.pth'))
    assert message in capsys.readouterr().out
    damage(run / 'iter_2.pth')
    with pytest.raises(UserError, match=r'(?s)no checkpoint can be resumed.*--overwrite'):
        _prepare(cfg, AUTO)


def test_a_pointer_without_its_checkpoint(cfg, tmp_path):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'last_checkpoint').write_text('iter_4.pth')
    with pytest.raises(UserError, match=r'last_checkpoint names iter_4\.pth, and there is no checkpoint'):
        _prepare(cfg, AUTO)


def test_checkpoints_of_other_names_count(cfg, run, tmp_path):
    """Names that the config had in an earlier training; last_checkpoint says which are the newest."""
    (run / 'last_checkpoint').write_text(_save(run / 'epoch_1.pth').name)
    assert _prepare(cfg, AUTO) == (True, str(run / 'epoch_1.pth'))
    (run / 'last_checkpoint').write_text(_save(run / 'own-12.pth').name)
    assert _prepare(cfg, AUTO) == (True, str(run / 'own-12.pth'))
    for path in [*run.glob('iter*'), *run.glob('epoch*')]:
        path.unlink()
    with pytest.raises(UserError, match=r'own-12\.pth and others'):
        _prepare(cfg)
    cfg.load_from = None
    assert _prepare(cfg, overwrite=True) == (False, None)
    assert not list(run.glob('own*'))


def test_all_names_are_removed(cfg, run):
    _save(run / 'epoch_1.pth')
    _prepare(cfg, overwrite=True)
    assert os.listdir(run) == []


def test_checkpoints_in_another_folder(cfg, run, tmp_path):
    other = _save(tmp_path / 'out' / 'run' / 'iter_9.pth')
    for path in run.glob('*.pth'):
        path.unlink()
    (run / 'last_checkpoint').write_text('../out/run/iter_9.pth')
    for resume in None, AUTO:
        with pytest.raises(UserError, match=r'checkpoints are in another folder \(.*out/run\)'):
            _prepare(cfg, resume)
    assert _prepare(cfg, overwrite=True) == (False, None)
    assert other.is_file()
    assert not (run / 'last_checkpoint').exists()


def test_a_hard_link_is_the_checkpoint_that_it_is(cfg, run):
    os.link(run / 'iter_4.pth', run / 'mine.pth')
    assert _prepare(cfg, str(run / 'mine.pth')) == (True, str(run / 'mine.pth'))


def test_an_address_is_not_resumed(cfg):
    with pytest.raises(UserError, match=r'--resume takes a file, and https://there/a\.pth is an address'):
        _prepare(cfg, 'https://there/a.pth')


def test_a_checkpoint_to_resume(cfg, run, tmp_path):
    other = _save(tmp_path / 'other' / 'iter_3.pth')
    assert _prepare(cfg, str(run / 'iter_4.pth')) == (True, str(run / 'iter_4.pth'))
    for resumed in run / 'iter_2.pth', other:
        with pytest.raises(UserError, match=r'iter_4\.pth.*would mix'):
            _prepare(cfg, str(resumed))
    assert _prepare(cfg, str(run / 'iter_2.pth'), overwrite=True) == (True, str(run / 'iter_2.pth'))
    assert sorted(os.listdir(run)) == ['best_loss_iter_2.pth', 'iter_2.pth']
    assert _prepare(cfg, str(other), overwrite=True) == (True, str(other))
    assert os.listdir(run) == []
    assert other.is_file()


@pytest.mark.parametrize(('template', 'names'), [
    ('step-{}.pth', ['step-10.pth', 'step-9.pth']), ('iter_{:06d}.pth', ['iter_000010.pth', 'iter_000009.pth']),
    ('epoch_{}.pth', ['epoch_1_iter_6.pth', 'epoch_1.pth']),
    ('sub/iter_{}.pth', ['sub/iter_10.pth', 'sub/iter_9.pth'])])
def test_names_and_folders_of_the_config(cfg, tmp_path, template, names):
    cfg.default_hooks.checkpoint.update(out_dir=str(tmp_path / 'elsewhere'), filename_tmpl=template)
    folder = tmp_path / 'elsewhere' / 'run'
    for name in names:
        _save(folder / name)
    assert _prepare(cfg, AUTO) == (True, str(folder / names[0]))


def test_an_out_dir_of_the_name_of_the_work_dir(cfg, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cfg.work_dir, cfg.default_hooks.checkpoint.out_dir = 'run', 'run'
    _save(tmp_path / 'run' / 'run' / 'iter_2.pth')
    assert _prepare(cfg, AUTO) == (True, 'run/run/iter_2.pth')


# As only_training_in does it, without importing PyTorch, which takes seconds.
HOLD = '''
import json, os, pathlib, socket, sys
from filelock import FileLock
folder = pathlib.Path(sys.argv[1])
with FileLock(folder / '.training.lock'):
    (folder / '.training.json').write_text(json.dumps(dict(pid=os.getpid(), host=socket.gethostname())))
    print('holds', flush=True)
    sys.stdin.read()
'''


def test_one_training_in_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(work_dir, 'SECONDS_TO_WAIT', 0.5)
    with subprocess.Popen([sys.executable, '-c', HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as other:
        assert other.stdout.readline() == 'holds\n'
        with pytest.raises(UserError, match=f'another training runs in .*: process {other.pid} on'), \
                only_training_in(tmp_path):
            pass
        other.kill()
    with only_training_in(tmp_path):
        assert json.loads((tmp_path / '.training.json').read_text())['pid'] == os.getpid()
    assert not (tmp_path / '.training.json').exists()


@pytest.mark.parametrize('holder', [
    '{"pid": [1], "host": "HERE"}', '{"pid": 99999999999999999999, "host": "HERE"}', '', '[]',
    '{"pid": "x", "host": "HERE"}', '{"pid": 4194304, "host": "HERE"}'])
def test_what_a_killed_training_left_is_no_obstacle(tmp_path, holder):
    (tmp_path / '.training.lock').touch()
    (tmp_path / '.training.json').write_text(holder.replace('HERE', socket.gethostname()))
    with only_training_in(tmp_path):
        pass
