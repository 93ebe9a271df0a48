"""tools/convert_checkpoint.py: from a checkpoint that mmseg's Runner has written to the same mIoU with our head."""

import argparse
import re

import pytest
import torch

from mmseg_attn.checkpoints import read_checkpoint
from mmseg_attn.common.errors import UserError
from tests.checkpoints.weights import small_weights
from tests.tools.command import CONFIGS, fails_here, run_here, succeeds, tool

CONFIG = CONFIGS / 'danet_r18_shapes.py'
FEW_TO_VALIDATE = [f'{split}_dataloader.dataset.indices=20' for split in ('val', 'test')]


@pytest.fixture
def folder(tmp_path, shapes):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'context_shapes').symlink_to(shapes)
    return tmp_path


def _miou(output):
    return float(re.search(r'mIoU ([\d.]+) of', output)[1])


MMSEG = """_base_ = {base!r}
model = dict(decode_head=dict(_delete_=True, type='DAHead', in_channels=128, in_index=0, channels=64, pam_channels=8,
    num_classes=5, norm_cfg=dict(type='BN'), loss_decode=dict(type='CrossEntropyLoss')))
"""


@pytest.mark.slow
def test_a_checkpoint_of_mmsegs_runner(folder):
    (folder / 'theirs.py').write_text(MMSEG.format(base=str(CONFIG)))
    few = ['train_dataloader.batch_size=4', 'train_cfg.max_iters=20', 'train_cfg.val_interval=20',
           'default_hooks.checkpoint.interval=20', 'param_scheduler.0.end=5', *FEW_TO_VALIDATE]
    succeeds(tool('train.py', 'theirs.py', '--work-dir', 'theirs', '--cfg-options', *few, cwd=folder))
    theirs = _miou(succeeds(tool('test.py', 'theirs.py', 'theirs/iter_20.pth', '--cfg-options', *FEW_TO_VALIDATE,
                                   cwd=folder)))
    output = succeeds(tool('convert_checkpoint.py', 'theirs/iter_20.pth', 'ours.pth', '--write-config', 'ours.py',
                           cwd=folder))
    assert "danet of mmsegmentation's DAHead" in output
    assert theirs == _miou(succeeds(tool('test.py', 'ours.py', 'ours.pth', '--cfg-options', *FEW_TO_VALIDATE,
                                         cwd=folder)))
    more = ['load_from=ours.pth', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2', *FEW_TO_VALIDATE]
    succeeds(tool('train.py', 'ours.py', '--work-dir', 'more', '--cfg-options', *more, cwd=folder))


@pytest.fixture
def official(tmp_path, golden):
    network = golden('whole_emanet_r101_voc')
    torch.save(dict(net=small_weights(network['keys'], network['aliases']), iter=1), tmp_path / 'EMANet.pth')
    return tmp_path


@pytest.mark.slow
def test_the_report(official):
    output = succeeds(tool('convert_checkpoint.py', 'EMANet.pth', 'out/emanet.pth', cwd=official, COLUMNS='200'))
    assert 'Recognised emanet of XiaLiPKU/EMANet' in output
    assert re.search(r'extractor\.1\.\*\s*│ backbone\.stem\.7\.\*', output)
    assert re.search(r'iter\s*│ not weights\s*│ 1', output)
    assert 'Exact under: configs/official/emanet_r101_voc.py' in output
    assert 'model.backbone.base_channels=8' in re.search(r'--cfg-options (.*)', output)[1]
    written = torch.load(official / 'out' / 'emanet.pth', weights_only=True)
    assert written['meta']['dataset_meta']['classes'][0] == 'background'
    again = succeeds(tool('convert_checkpoint.py', 'EMANet.pth', 'out/emanet.pth', '--write-config', 'out/exact.py',
                          cwd=official))
    assert 'out/exact.py' in again
    assert '--cfg-options' not in succeeds(
        tool('convert_checkpoint.py', 'EMANet.pth', 'out/emanet.pth', '--config', 'out/exact.py', cwd=official))


def test_files_that_need_code_and_files_of_safetensors(official, monkeypatch, capsys):
    monkeypatch.chdir(official)
    torch.save(torch.load('EMANet.pth') | dict(args=argparse.Namespace(lr=0.1)), 'old.pth')
    with pytest.raises(UserError, match=r'Namespace.*\n.*convert_checkpoint old\.pth NEW\.pth --allow-pickle'):
        run_here('convert_checkpoint', 'old.pth', 'new.pth')
    run_here('convert_checkpoint', 'old.pth', 'new.safetensors', '--allow-pickle')
    run_here('convert_checkpoint', 'EMANet.pth', 'new.pth')
    read = [read_checkpoint(name) for name in ('new.safetensors', 'new.pth')]
    assert read[0].state_dict.keys() == read[1].state_dict.keys()
    assert all(torch.equal(value, read[1].state_dict[key]) for key, value in read[0].state_dict.items())
    assert read[0].meta['dataset_meta']['classes'] == list(read[1].meta['dataset_meta']['classes'])


@pytest.mark.parametrize(('arguments', 'message'), [
    (['EMANet.pth', 'EMANet.pth'], 'EMANet.pth is the file to convert'),
    (['EMANet.pth', '.'], 'is a folder; name the file to write'),
    (['nothing.pth', 'out.pth'], 'there is no checkpoint nothing.pth'),
    (['EMANet.pth', 'out.pth', '--method', 'ccnet'], 'it looks like emanet of XiaLiPKU/EMANet'),
    (['EMANet.pth', 'out.pth', '--write-config', 'out.yml'], '--write-config writes Python'),
    (['EMANet.pth', 'EMANet.pth/out.pth'], 'cannot write EMANet.pth/out.pth: File exists'),
    (['EMANet.pth', 'out.pth', '--cfg-options', 'model.decode_head.channels.x=1'], 'there is no setting'),
    (['EMANet.pth', 'out.pth', '--cfg-options', 'nonsense'], '--cfg-options takes KEY=VALUE'),
    (['EMANet.pth', 'out.pth', '--config', CONFIGS / 'emanet_r101_voc.py'], 'the weights are not those of the model')])
def test_one_readable_error(official, arguments, message, monkeypatch, capsys):
    monkeypatch.chdir(official)
    assert message in fails_here(capsys, 'convert_checkpoint', *arguments)
    assert {path.name for path in official.iterdir()} == {'EMANet.pth'}
