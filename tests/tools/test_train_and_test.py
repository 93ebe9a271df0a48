"""train.py and test.py from an empty folder."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_attn.common.errors import UserError
from tests.tools.command import CONFIGS, FEW, fails, fails_here, run_here, succeeds, tool


@pytest.fixture
def folder(tmp_path, shapes):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'context_shapes').symlink_to(shapes)
    return tmp_path


NON_LOCAL = CONFIGS / 'non_local_r18_shapes.py'
EMANET = CONFIGS / 'emanet_r18_shapes.py'
VALIDATE_FEW = ['val_dataloader.dataset.indices=4', 'test_dataloader.dataset.indices=4']


@pytest.mark.slow
def test_train_evaluate_draw_and_resume(folder):
    log = succeeds(tool('train.py', EMANET, '--channels-last', '--cfg-options', *FEW, *VALIDATE_FEW, cwd=folder))
    assert 'Effective batch size 2 = 2 images x 1 processes; learning rate 0.003, which was chosen for' in log
    work_dir = folder / 'work_dirs' / 'emanet_r18_shapes'
    checkpoint = work_dir / 'iter_4.pth'
    bases = torch.load(checkpoint, weights_only=False)['state_dict']['decode_head.attention.bases']
    assert bases.dtype == torch.float32

    log = succeeds(tool('test.py', EMANET, checkpoint, '--tta', '--out', 'masks', '--show-dir', 'pictures',
                        '--channels-last', '--fuse-conv-bn', '--cfg-options', *VALIDATE_FEW, cwd=folder))
    assert re.search(r'\d\d BN are folded into the convolutions', log)
    assert 'mIoU ' in log.split('\n\n')[-1]
    masks = sorted((folder / 'masks').iterdir())
    assert len(masks) == 4
    assert np.array(Image.open(masks[0])).shape == (160, 160)
    pictures = sorted((folder / 'pictures' / 'vis_data' / 'vis_image').iterdir())
    assert len(pictures) == 4
    with Image.open(pictures[0]) as image:
        assert image.height == 160
        assert image.width > 320  # labels, prediction and legend

    log = succeeds(tool('train.py', EMANET, '--resume', '--cfg-options', *FEW, *VALIDATE_FEW, cwd=folder))
    assert 'Nothing was left to train: logs and checkpoints are in ' in log
    longer = [option.replace('max_iters=4', 'max_iters=6') for option in FEW]
    for resume in (['--resume'], ['--resume', str(checkpoint)]):
        log = succeeds(tool('train.py', EMANET, *resume, '--auto-scale-lr', '--cfg-options', *longer, *VALIDATE_FEW,
                            cwd=folder))
        assert 'Iter(train) [5/6]' in log
        assert 'Iter(train) [4/6]' not in log
        (work_dir / 'iter_6.pth').unlink()
        (work_dir / 'last_checkpoint').write_text(str(checkpoint))


@pytest.mark.parametrize(('arguments', 'expected'), [
    (['configs/emanet.py'], 'there is no config file configs/emanet.py'),
    ([CONFIGS / 'emanet_r101_vok.py'], 'did you mean .*emanet_r101_voc.py'),
    ([CONFIGS / 'emanet_r101_voc.py'], 'data/VOCdevkit/VOC2012 does not exist .*\n.*prepare_data voc'),
    ([CONFIGS / 'emanet_r18_camvid.py'], 'data/camvid does not exist'),
    ([NON_LOCAL, '--cfg-options', 'model.decode_head.type=mmseg_attn.EMAHed'], 'did you mean mmseg_attn.EMAHead'),
    ([NON_LOCAL, '--cfg-options', 'model.decode_head.type=FNCHead'], 'did you mean .*FCNHead'),
    ([NON_LOCAL, '--cfg-options', 'train_dataloader.dataset.pipeline.9.type=Pad'], '--cfg-options does not fit'),
    ([NON_LOCAL, '--cfg-options', 'train_dataloader.dataset.data_root=data'], 'is not a ContextShapes data set'),
    ([NON_LOCAL, '--cfg-options', 'model.decode_head.mode=dot'], "mode must be one of .* got 'dot'"),
    ([NON_LOCAL, '--resume', 'nothing.pth'], 'there is no checkpoint nothing.pth'),
    ([NON_LOCAL, '--cfg-options', 'load_from=nothing.pth'], 'there is no checkpoint nothing.pth'),
], ids=lambda value: value[:20] if isinstance(value, str) else None)
def test_one_readable_error(folder, arguments, expected, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert re.search(expected, fails_here(capsys, 'train', *arguments))


@pytest.mark.parametrize('command', ['train', 'test', 'compare', 'infer'])
@pytest.mark.skipif(torch.cuda.is_available(), reason='float16 works on a GPU')
def test_float16_on_a_cpu(folder, command, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    Path('weights.pth').touch()
    options = ['--amp', '--cfg-options', 'optim_wrapper.dtype=float16']
    arguments = dict(train=[NON_LOCAL], test=[NON_LOCAL, 'weights.pth'], compare=['--methods', 'non_local'],
                     infer=[NON_LOCAL, 'weights.pth', folder / 'data', '--out', 'results'])
    assert 'On a CPU: optim_wrapper.dtype=bfloat16' in fails_here(capsys, command, *arguments[command], *options)


@pytest.mark.slow
def test_a_label_out_of_range(tmp_path):
    data = tmp_path / 'data' / 'camvid'
    for split in ('train', 'val'):
        (data / split).mkdir(parents=True)
        (data / f'{split}annot').mkdir()
        for i in range(2):
            Image.fromarray(np.zeros((128, 128, 3), np.uint8)).save(data / split / f'{i}.png')
            Image.fromarray(np.full((128, 128), 200, np.uint8)).save(data / f'{split}annot' / f'{i}.png')
    message = fails(tool('train.py', CONFIGS / 'emanet_r18_camvid.py', '--cfg-options', *FEW,
                         'train_dataloader.num_workers=0', 'train_dataloader.persistent_workers=False', cwd=tmp_path))
    assert 'trainannot/' in message
    assert 'holds the values [200], which are no classes' in message


def test_test_without_a_checkpoint(folder, monkeypatch):
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match=r'there is no checkpoint nothing\.pth'):
        run_here('test', NON_LOCAL, 'nothing.pth')


@pytest.mark.slow
def test_a_failed_download(folder):
    message = fails(tool('train.py', NON_LOCAL, '--cfg-options', 'model.pretrained=http://127.0.0.1:9/resnet.pth', *FEW,
                         cwd=folder))
    assert 'a download failed' in message
    assert 'model.pretrained=None' in message
