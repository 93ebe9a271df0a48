"""Checkpoints with code in them, through every command that reads one."""

import logging
from contextlib import suppress

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_attn.cli import run_command
from mmseg_attn.registry import MODELS
from tests.tools.command import CONFIGS, fails_here

from .hostile import DISGUISES

CONFIG = str(CONFIGS / 'non_local_r18_shapes.py')
IMAGE = 'data/context_shapes/JPEGImages/val_0001.png'
FEW = [f'{split}_dataloader.{key}' for split in ('train', 'val', 'test')
       for key in ('num_workers=0', 'persistent_workers=False')]
# {} is the file.
COMMANDS = {
    'test': ['test', CONFIG, '{}', '--cfg-options', *FEW], 'resume': ['train', CONFIG, '--resume', '{}'],
    'load_from': ['train', CONFIG, '--cfg-options', *FEW, 'load_from={}', 'log_level=ERROR'],
    'pretrained': ['train', CONFIG, '--cfg-options', *FEW, 'model.pretrained={}', 'log_level=ERROR'],
    'init_cfg': ['train', CONFIG, '--cfg-options', *FEW, 'model.decode_head.init_cfg.type=Pretrained',
                 'model.decode_head.init_cfg.checkpoint={}', 'model.decode_head.init_cfg.prefix=decode_head',
                 'log_level=ERROR'],
    'infer': ['infer', CONFIG, '{}', IMAGE, '--out', 'out', '--device', 'cpu'],
    'explore': ['explore_attention', CONFIG, '{}', IMAGE, '--out', 'out', '--device', 'cpu'],
    'export': ['export', CONFIG, '{}', '--format', 'torch-export', '--out', 'out.pt2'],
    'convert': ['convert_checkpoint', '{}', 'out.pth']}


@pytest.fixture(scope='module')
def content():
    init_default_scope('mmseg')
    cfg = Config.fromfile(CONFIG)
    return dict(state_dict=MODELS.build(cfg.model).state_dict(), meta=dict(iter=2, epoch=0),
                message_hub=dict(log_scalars={}, runtime_info={}, resumed_keys={}),
                optimizer=dict(state={}, param_groups=[]))


@pytest.fixture
def folder(tmp_path, shapes_root, monkeypatch):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'context_shapes').symlink_to(shapes_root)
    monkeypatch.chdir(tmp_path)
    # mmengine shares the loggers of one second, and with them the captured output of the test before.
    monkeypatch.setattr(logging, 'raiseExceptions', False)
    return tmp_path


def _written(disguise, content, folder):
    write, suffix = DISGUISES[disguise]
    path = folder / f'file{suffix}'
    write({key: dict(value) for key, value in content.items()}, path, folder / 'victim')
    return path


@pytest.mark.parametrize('disguise', DISGUISES)
def test_the_file_would_run_code(disguise, content, tmp_path):
    path = _written(disguise, content, tmp_path).rename(tmp_path / 'renamed.pth')
    with suppress(RuntimeError):  # a bare pickle is run, and then found to be none of PyTorch's
        torch.load(path, weights_only=False)
    assert (tmp_path / 'victim').is_dir()


@pytest.mark.slow
@pytest.mark.parametrize('disguise', DISGUISES)
@pytest.mark.parametrize('command', COMMANDS)
def test_no_command_runs_it(command, disguise, content, folder, capsys):
    path = _written(disguise, content, folder)
    arguments = [word.format(path) for word in COMMANDS[command]]
    message = fails_here(capsys, *arguments)
    assert path.name in message
    assert not (folder / 'victim').exists()


@pytest.mark.slow
def test_the_newest_checkpoint_of_a_work_dir_is_skipped(content, folder, capsys):
    (folder / 'run').mkdir()
    DISGUISES['in meta'][0](content, folder / 'run' / 'iter_2.pth', folder / 'victim')
    assert 'no checkpoint can be resumed' in fails_here(capsys, 'train', CONFIG, '--work-dir', 'run', '--resume')
    assert not (folder / 'victim').exists()


@pytest.mark.slow
def test_the_config_in_a_checkpoint_is_not_run_when_it_is_resumed(content, folder, capsys):
    code = f'import os\nos.mkdir({str(folder / "victim")!r})'
    torch.save(content | dict(meta=dict(iter=2, epoch=0, config=code)), folder / 'file.pth')
    with pytest.raises((SystemExit, ValueError, KeyError)):  # its optimizer is that of no training
        run_command('train', [CONFIG, '--resume', str(folder / 'file.pth'), '--cfg-options', *FEW])
    assert not (folder / 'victim').exists()
