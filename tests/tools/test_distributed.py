"""Several CPU processes through the launch scripts."""

import subprocess
from pathlib import Path

import pytest
import torch

from tests.tools.command import CONFIGS, ROOT, environment, fails, succeeds, tool
from tests.tools.slurm import slurm_environment

# Normalisation by groups, no dropout, no momentum, no class weights (mmseg divides by the sum of those in the batch):
# then two processes compute what one computes with both images.
CONFIG = f'''
_base_ = r'{CONFIGS}/emanet_r18_shapes.py'
custom_imports = dict(imports=['mmseg_attn.registered', 'tests.tools.rank_dump'], allow_failed_imports=False)
custom_hooks = [dict(type='RankDumpHook')]
norm_cfg = dict(type='{{norm}}', {{arguments}})
model = dict(backbone=dict(norm_cfg=dict(_delete_=True, **norm_cfg)),
             decode_head=dict(norm_cfg=dict(_delete_=True, **norm_cfg), dropout_ratio=0,
                              loss_decode=dict(class_weight=None)))
val_dataloader = dict(dataset=dict(indices=5))
test_dataloader = dict(dataset=dict(indices=5))
train_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
train_dataloader = dict(batch_size={{batch_size}}, num_workers=0, persistent_workers=False,
                        dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.1))
param_scheduler = []
train_cfg = dict(max_iters=3, val_interval=3)
default_hooks = dict(checkpoint=dict(interval=3))
'''


def _write_config(folder: Path, name: str, batch_size: int, norm: str = 'GN') -> Path:
    arguments = 'num_groups=4' if norm == 'GN' else 'requires_grad=True'
    (folder / f'{name}.py').write_text(CONFIG.format(batch_size=batch_size, norm=norm, arguments=arguments))
    return folder / f'{name}.py'


@pytest.fixture
def folder(tmp_path, shapes_root):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'context_shapes').symlink_to(shapes_root)
    return tmp_path


def _dump_environment(folder: Path, name: str) -> dict[str, str]:
    (folder / name).mkdir(exist_ok=True)
    return dict(RANK_DUMP=str(folder / name), PYTHONPATH=str(ROOT))


def _load(folder: Path, name: str, rank: int, iteration: int) -> dict:
    return torch.load(folder / name / f'rank{rank}_iter{iteration}.pth', weights_only=True)


def _assert_same(first: dict, second: dict, **tolerance) -> None:
    assert first.keys() == second.keys()
    for key, value in first.items():
        torch.testing.assert_close(second[key], value, msg=lambda m, k=key: f'{k}: {m}', **tolerance)


def _one_process(folder: Path) -> None:
    config = _write_config(folder, 'one', batch_size=2)
    succeeds(tool('train.py', config, cwd=folder, **_dump_environment(folder, 'one')))


def _assert_two_processes_equal_one(folder: Path, name: str) -> None:
    for iteration in range(4):
        first, second = (_load(folder, name, rank, iteration) for rank in range(2))
        _assert_same(first, second, rtol=0, atol=0)
        # SGD without momentum: the difference of two iterations is a tenth of the gradient.
        _assert_same(_load(folder, 'one', 0, iteration), first, rtol=1e-4, atol=2e-5)
    moved = _load(folder, name, 0, 3)['decode_head.attention.bases'] - _load(
        folder, name, 0, 0)['decode_head.attention.bases']
    assert moved.abs().max() > 1e-3


@pytest.mark.slow
def test_two_processes_equal_one_with_the_same_batch(folder):
    _one_process(folder)
    config = _write_config(folder, 'two', batch_size=1)
    log = succeeds(tool('dist_train.sh', config, 2, cwd=folder, **_dump_environment(folder, 'two')))
    assert 'Effective batch size 2 = 1 images x 2 processes' in log
    _assert_two_processes_equal_one(folder, 'two')

    checkpoint = folder / 'work_dirs' / 'two' / 'iter_3.pth'
    logs = [succeeds(tool('dist_test.sh', config, checkpoint, 2, cwd=folder, **_dump_environment(folder, 'x'))),
            succeeds(tool('test.py', config, checkpoint, cwd=folder, **_dump_environment(folder, 'x')))]
    results = [line for log in logs for line in log.splitlines() if line.startswith('mIoU ')]
    assert len(results) == 2
    assert results[0] == results[1]


@pytest.mark.slow
def test_two_nodes_on_the_loopback(folder):
    _one_process(folder)
    config = _write_config(folder, 'nodes', batch_size=1)
    port = subprocess.run(['python3', '-c', 'import socket; s = socket.socket(); s.bind(("", 0)); '
                           'print(s.getsockname()[1])'], capture_output=True, text=True, check=True).stdout.strip()
    nodes = [subprocess.Popen(
        ['bash', str(ROOT / 'tools/dist_train.sh'), str(config), '1'], cwd=folder, stdout=subprocess.DEVNULL,
        env=environment(NNODES='2', NODE_RANK=str(rank), PORT=port, **_dump_environment(folder, 'nodes')))
        for rank in range(2)]
    assert [node.wait(timeout=600) for node in nodes] == [0, 0]
    _assert_two_processes_equal_one(folder, 'nodes')


@pytest.mark.slow
def test_sync_bn_becomes_bn_and_its_statistics_stay_equal(folder):
    config = _write_config(folder, 'bn', batch_size=2, norm='SyncBN')
    log = succeeds(tool('dist_train.sh', config, 2, cwd=folder, **_dump_environment(folder, 'bn')))
    assert 'SyncBN becomes BN' in log
    first, second = (_load(folder, 'bn', rank, 3) for rank in range(2))
    _assert_same(first, second, rtol=0, atol=0)


@pytest.mark.slow
def test_slurm_scripts_with_a_stand_in_for_srun(folder):
    """srun starts the tasks; the stand-in does so on this machine and keeps the arguments it was given."""
    config = _write_config(folder, 'slurm', batch_size=1)
    extra = _dump_environment(folder, 'slurm') | slurm_environment(folder) | dict(
        SRUN_ARGS='--qos=high --exclusive', MASTER_PORT='29733')
    succeeds(tool('slurm_train.sh', 'gpu', 'job', config, cwd=folder, **extra))
    _assert_same(_load(folder, 'slurm', 0, 3), _load(folder, 'slurm', 1, 3), rtol=0, atol=0)
    arguments = (folder / 'srun_arguments').read_text()
    assert arguments.startswith(
        '-p gpu --job-name=job --gres=gpu:2 --ntasks=2 --ntasks-per-node=2 --cpus-per-task=5 --kill-on-bad-exit=1 '
        '--signal=USR1@120 --qos=high --exclusive python -u')


def test_usage_of_the_scripts(tmp_path):
    result = tool('dist_train.sh', 'config.py', cwd=tmp_path)
    assert 'number of processes' in fails(result)
    assert 'bash tools/dist_train.sh CONFIG GPUS' in result.stderr
    result = tool('slurm_test.sh', 'gpu', cwd=tmp_path)
    assert result.returncode == 2
    assert 'PARTITION JOB_NAME CONFIG CHECKPOINT' in result.stderr
