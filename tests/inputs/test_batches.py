"""Labels that each are right, and of which nothing can be learnt; and what padding adds to them."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from mmseg_attn.cli import run_command
from mmseg_attn.data_tools import check
from mmseg_attn.engine.labels import SeenClasses, padding_problem
from mmseg_attn.registry import MODELS

from .kinds import KINDS, config_of, write_files

MASK = np.repeat(np.array([[0, 255]], np.uint8), (20, 40), axis=1).repeat(44, axis=0)
ONE = ', beside 255, which is ignored, and the head has 2 classes'


@pytest.fixture
def write(tmp_path, monkeypatch):
    """``write(label, iterations)`` writes data with this label map, and config.py."""
    def make(label: np.ndarray, iterations: int = 2, classes: tuple[str, ...] = ('road', 'car'), **head) -> None:
        write_files(KINDS['colour'], tmp_path)
        for path in (tmp_path / 'labels').iterdir():
            Image.fromarray(label).save(path)
        cfg = config_of(KINDS['colour'], tmp_path)
        cfg.update(train_cfg=dict(type='IterBasedTrainLoop', max_iters=iterations, val_interval=1), log_level='WARNING')
        # Two of one name, in the same second, have one logger in mmengine.
        cfg.experiment_name = tmp_path.name
        cfg.train_dataloader.update(sampler=dict(type='InfiniteSampler', shuffle=False))
        for key, value in dict(dict(num_classes=2, loss_decode=dict(type='CrossEntropyLoss')), **head).items():
            cfg.model.decode_head[key] = value
        for split in 'train', 'val', 'test':
            cfg[f'{split}_dataloader']['dataset']['metainfo'] = dict(classes=classes)
        cfg.dump(tmp_path / 'config.py')
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / 'weights.pth')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(check, 'draw_sheet', lambda *arguments: False)
    return make


def _ended(command: str, *arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        run_command(command, arguments)
    return ended.value.code or 0


def _said(capsys) -> str:
    printed = capsys.readouterr()
    return ' '.join((printed.out + printed.err).split())


def test_masks_whose_object_is_ignored(write, capsys):
    write(MASK)
    _ended('train', 'config.py')
    said = _said(capsys)
    assert said.count(f'The labels of all iterations hold one class only, 0 (road){ONE}') == 1
    assert said.count(f'The labels of the validation hold one class only, 0 (road){ONE}') == 1
    assert 'mmseg-attn check_data CONFIG' in said
    _ended('test', 'config.py', 'weights.pth')
    assert _said(capsys).count(f'The labels of the test hold one class only, 0 (road){ONE}') == 1


def test_masks_for_a_sigmoid(write, capsys):
    write(MASK, 51, num_classes=2, out_channels=1, threshold=0.5,
          loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True))
    _ended('train', 'config.py', '--cfg-options', 'train_cfg.val_interval=60')
    said = _said(capsys)
    assert said.count(f'The labels of the first 50 iterations hold one class only, 0 (road){ONE}') == 1
    assert 'The labels of all iterations' not in said


def test_labels_of_two_classes(write, capsys):
    write(MASK // 255)
    _ended('train', 'config.py')
    assert 'one class only' not in _said(capsys)


def test_an_evaluation_of_the_background_alone(write, capsys):
    write(MASK // 255, classes=('car',), num_classes=1, threshold=0.3,
          loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True))
    assert _ended('train', 'config.py') == 2
    said = _said(capsys)
    assert 'labels/0.png holds the value 1, and the evaluation has one class, car, which is 0' in said
    assert 'num_classes=2, out_channels=1' in said
    assert _ended('check_data', 'config.py', '--nproc', '1') == 1
    assert 'the value 1, and the only class is 0' in _said(capsys)


@pytest.mark.parametrize(('padding', 'ends', 'meaning'), [
    (255, 2, 'neither a class nor ignored'), (1, 0, 'trained on as a class')])
def test_padding_that_is_not_ignored(write, capsys, padding, ends, meaning):
    write(MASK // 255, ignore_index=0)
    options = ['--cfg-options', f'model.data_preprocessor.seg_pad_val={padding}',
               'model.data_preprocessor.size=(48,64)']
    assert _ended('train', 'config.py', *options) == ends
    said = _said(capsys)
    assert ('images/0.png has 60 x 44 pixels where it is padded to 64 x 48, and its label map is padded with '
            f'{padding}, which is {meaning}') in said
    assert 'model.data_preprocessor.seg_pad_val=0' in said
    _ended('check_data', 'config.py', '--nproc', '1', *options)
    level = 'error' if ends else 'warning'
    assert f'{level}: label maps are padded with {padding}, and model.decode_head ignores 0' in _said(capsys)


@pytest.mark.parametrize(('labels', 'expected'), [
    ([[0, 1]], None), ([[0], [1]], None), ([[0, 255], [0]], 'hold one class only, 0 (a), beside 255'),
    ([[0]], 'hold one class only, 0 (a) and the head'), ([[255]], 'hold no class, beside 255'), ([], None)])
def test_classes_that_are_seen(labels, expected):
    seen = SeenClasses(2, 255)
    for values in labels:
        seen.add([torch.tensor([values])])
    problem = seen.problem(('a', 'b'))
    assert (problem is None) if expected is None else expected in (problem or '')


@pytest.mark.parametrize(('settings', 'sizes', 'place'), [
    (dict(size=(8, 9)), [(8, 9)], None), (dict(size=(8, 9)), [(8, 9), (8, 8)], 1),
    (dict(size_divisor=4), [(8, 8)], None), (dict(size_divisor=4), [(7, 8)], 0),
    (dict(size_divisor=4), [(8, 8), (8, 4)], 1), (dict(size=(8, 9)), [(20, 20)], None)])
def test_images_that_are_padded(settings, sizes, place):
    preprocessor = nn.Module()
    preprocessor.size, preprocessor.size_divisor = settings.get('size'), settings.get('size_divisor')
    problem = padding_problem(preprocessor, [torch.zeros(3, *size) for size in sizes])
    assert (problem or [None])[0] == place
