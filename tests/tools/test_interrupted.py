"""Signals to the launch scripts, and processes that are killed, in trainings on two CPU processes."""

import os
import signal
import tempfile
from pathlib import Path

import pytest
import torch

from tests.tools.command import CONFIGS, Running, running, succeeds, tool
from tests.tools.slurm import slurm_environment

ITERS = 16
CONFIG = f'''
_base_ = r'{CONFIGS}/emanet_r18_shapes.py'
train_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'),
                  dict(type='Resize', scale=(64, 64)), dict(type='PackSegInputs')]
model = dict(data_preprocessor=dict(size=(64, 64)))
train_dataloader = dict(batch_size=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(indices=41), sampler=dict(round_up=False))
train_cfg = dict(max_iters={ITERS}, val_interval={ITERS})
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
'''


@pytest.fixture(scope='module')
def folder(tmp_path_factory, shapes_root):
    folder = tmp_path_factory.mktemp('interrupted')
    (folder / 'data').mkdir()
    (folder / 'data' / 'context_shapes').symlink_to(shapes_root)
    (folder / 'config.py').write_text(CONFIG)
    return folder


@pytest.fixture(scope='module')
def undisturbed(folder):
    succeeds(tool('dist_train.sh', 'config.py', 2, '--work-dir', 'undisturbed', cwd=folder))
    return _weights(folder / 'undisturbed')


def _weights(work_dir: Path) -> dict:
    return torch.load(work_dir / f'iter_{ITERS}.pth', weights_only=False)['state_dict']


def _assert_ends_as(undisturbed: dict, work_dir: Path) -> None:
    for key, value in _weights(work_dir).items():
        assert torch.equal(value, undisturbed[key]), key


@pytest.fixture
def launches():
    """Where the script makes its folder: ``tmp_path`` is too long for the sockets of the workers."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def train(folder, tmp_path, launches):
    """``train(*arguments, **environment)`` starts two processes whose checkpoints are in ``tmp_path``."""
    def start(*arguments: str, **environment: str):
        return running('dist_train.sh', 'config.py', 2, '--work-dir', tmp_path, *arguments, cwd=folder,
                       TMPDIR=str(launches), **environment)
    return start


def _ranks(launches: Path) -> list[int]:
    return sorted(int(path.suffix[1:]) for path in launches.glob('*/rank.*'))


def _parent(pid: int) -> int:
    return int(Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[1])


def _assert_stopped(command: Running, code: int, reached: str) -> None:
    assert command.end() == code, command.output[-3000:]
    assert command.output.count('Go on with:') == 1, command.output[-3000:]
    assert reached in command.output


@pytest.mark.slow
@pytest.mark.parametrize(('signum', 'code'), [(signal.SIGTERM, 143), (signal.SIGUSR1, 138), (signal.SIGINT, 130)])
def test_a_signal_to_the_script(train, signum, code):
    with train() as command:
        command.wait_for(r'Iter\(train\) \[ 2/')
        os.killpg(command.process.pid, signum)
        _assert_stopped(command, code, f'Stopped by {signum.name} after iteration ')
    assert 'Traceback' not in command.output


@pytest.mark.slow
def test_a_signal_to_one_process_in_a_validation_of_unequal_halves(train, tmp_path, launches):
    with train('--cfg-options', 'train_cfg.val_interval=2') as command:
        command.wait_for(r'Iter\(val\)')
        os.kill(_ranks(launches)[-1], signal.SIGTERM)
        _assert_stopped(command, 143, 'in the validation after iteration 2')
        assert 'mIoU: ' not in command.output
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_2.pth')


@pytest.mark.slow
def test_torchrun_killed(train, launches):
    with train() as command:
        command.wait_for(r'Iter\(train\) \[ 2/')
        os.kill(_parent(_ranks(launches)[0]), signal.SIGKILL)
        _assert_stopped(command, 143, 'The launcher of this training has been killed')


@pytest.mark.slow
def test_a_killed_process_is_named(train, launches):
    with train() as command:
        command.wait_for(r'Iter\(train\) \[ 2/')
        killed = _ranks(launches)[-1]
        os.kill(killed, signal.SIGKILL)
        assert command.end() == 1
    assert 'error: another process of this training has ended' in command.output
    assert f'(pid {killed}) was ended by SIGKILL' in command.output


@pytest.mark.slow
def test_a_refusal_has_its_code(train, tmp_path):
    (tmp_path / 'iter_2.pth').touch()
    with train() as command:
        assert command.end() == 2
    assert 'To continue it: --resume' in command.output
    assert 'Traceback' not in command.output


@pytest.mark.slow
def test_restarts_after_a_process_is_killed(train, tmp_path, launches, undisturbed):
    with train('--resume', MAX_RESTARTS='3') as command:
        command.wait_for(r'Iter\(train\) \[ 5/')
        os.kill(_ranks(launches)[-1], signal.SIGKILL)
        command.wait_for(r'resumed epoch: 0, iter: 4')
        assert command.end() == 0, command.output[-3000:]
    _assert_ends_as(undisturbed, tmp_path)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all_without_a_restart(train, tmp_path, launches, undisturbed):
    with train(MAX_RESTARTS='3') as command:
        command.wait_for(r'Iter\(train\) \[ 2/')
        os.kill(_ranks(launches)[-1], signal.SIGUSR1)
        _assert_stopped(command, 138, 'Stopped by SIGUSR1')
    with train('--resume') as command:
        assert command.end() == 0, command.output[-3000:]
    _assert_ends_as(undisturbed, tmp_path)


@pytest.mark.slow
def test_slurm_queues_again_before_its_limit(folder, tmp_path, undisturbed):
    """The script sends SIGUSR1 to srun, as Slurm does to the tasks, and the first task that ends stops the other."""
    slurm = slurm_environment(tmp_path)
    with running('slurm_train.sh', 'gpu', 'job', 'config.py', '--work-dir', tmp_path, cwd=folder,
                 **slurm, REQUEUE='1', MASTER_PORT='29734') as command:
        command.wait_for(r'Iter\(train\) \[ 2/')
        command.process.send_signal(signal.SIGUSR1)
        command.wait_for('Stopped by SIGUSR1')
        command.wait_for(r'resumed epoch: 0, iter: ')
        assert command.end() == 0, command.output[-3000:]
    _assert_ends_as(undisturbed, tmp_path)
    first, second = (folder / 'srun_arguments').read_text().splitlines()
    assert '--signal=USR1@120' in first
    assert second == first.replace(' --launcher', ' --resume --launcher')


@pytest.mark.slow
def test_slurm_requeues_a_batch_job(folder, tmp_path):
    with running('slurm_train.sh', 'gpu', 'job', 'config.py', '--work-dir', tmp_path, cwd=folder,
                 **slurm_environment(tmp_path), REQUEUE='1', SLURM_JOB_ID='17', MASTER_PORT='29735') as command:
        command.wait_for(r'Iter\(train\) \[ 2/')
        command.process.send_signal(signal.SIGUSR1)
        command.wait_for('requeued 17')
        assert command.end() == 0


@pytest.mark.slow
@pytest.mark.parametrize(('signum', 'code'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_evaluation_ends_at_once(folder, undisturbed, signum, code):
    checkpoint = folder / 'undisturbed' / f'iter_{ITERS}.pth'
    with running('test.py', 'config.py', checkpoint, cwd=folder) as command:
        command.wait_for(r'Iter\(test\)')
        os.killpg(command.process.pid, signum)
        assert command.end() == code, command.output[-3000:]
    assert f'Stopped by {signum.name}.' in command.output
    assert 'Traceback' not in command.output
