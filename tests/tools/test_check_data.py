"""tools/check_data.py, on a small CamVid and on damaged copies of it."""

import os
import shutil

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools import check as data_check
from mmseg_attn.data_tools.cityscapes import prepare_cityscapes
from mmseg_attn.data_tools.voc import prepare_voc
from tests.tools.command import CONFIGS, fails, run_here, tool
from tests.tools.small_archives import make_cityscapes, make_voc

HEIGHT, WIDTH = 24, 36
NUM_IMAGES = dict(train=5, val=2, test=2)
PALETTE = np.array([[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222], [128, 128, 0],
                    [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0], [0, 128, 192], [0, 0, 0]], np.uint8)


def _label() -> np.ndarray:
    """All twelve values, each in two rows."""
    return np.arange(HEIGHT, dtype=np.uint8).repeat(WIDTH).reshape(HEIGHT, WIDTH) // 2


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A whole CamVid, and nothing else, in the current folder."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / 'data' / 'camvid'
    for split, number in NUM_IMAGES.items():
        for kind in ('', 'annot'):
            (root / f'{split}{kind}').mkdir(parents=True)
        for i in range(number):
            pixels = np.random.RandomState(i).randint(256, size=(HEIGHT, WIDTH, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / split / f'{split}{i}.jpg')
            Image.fromarray(_label()).save(root / f'{split}annot' / f'{split}{i}.png')
    return root


@pytest.fixture
def check(monkeypatch, capsys):
    """Runs the tool in this process, unless asked without the pictures, which take most of the time."""
    draw_sheet = data_check.draw_sheet

    def run(*arguments, config=CONFIGS / 'emanet_r18_camvid.py', sheets: bool = False) -> tuple[int, str]:
        """Exit code and output."""
        monkeypatch.setattr(data_check, 'draw_sheet', draw_sheet if sheets else lambda *arguments: False)
        code = run_here('check_data', config, '--nproc', 1, *arguments)
        return code, capsys.readouterr().out
    return run


def _rows(log: str) -> dict[str, list[str]]:
    """The table of classes: '3 Road' -> its numbers."""
    return {' '.join(line.split()[:2]): line.split()[2:] for line in log.splitlines() if line.startswith(' ')}


def _file(data, name: str = 'trainannot/train1.png'):
    return data / name


def test_a_whole_data_set(data, check):
    code, log = check(sheets=True)
    assert code == 0
    assert 'Training is sensible: 0 errors, 0 warnings.' in log
    assert 'train_dataloader.dataset: mmseg_attn.CamVidDataset, 5 images, 36 x 24 pixels' in log
    rows = _rows(log)
    assert rows['3 Road'][:6] == ['8.33', '5', '8.33', '2', '8.33', '2']
    assert rows['ignored 8.33'] == ['8.33', '8.33']
    out = data.parents[1] / 'work_dirs' / 'emanet_r18_camvid' / 'check_data'
    assert {path.name for path in out.iterdir()} == {
        'report.txt', 'overlays_train.png', 'overlays_val.png', 'overlays_test.png'}
    assert 'Training is sensible' in (out / 'report.txt').read_text()


def test_several_processes_find_the_same(data, check):
    _file(data).write_bytes(b'')
    one = check()
    assert check('--nproc', 2) == one
    assert one[0] == 1


def _cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def _save(array):
    return lambda path: Image.fromarray(array).save(path)


LABEL = 'trainannot/train1.png'
IMAGE = 'train/train1.jpg'
MASK = (_label() == 8) * np.uint8(255)


@pytest.mark.parametrize(('file', 'damage', 'messages'), [
    (LABEL, _cut, ['error: 1 label map: unreadable']),
    (IMAGE, _cut, ['error: 1 image: unreadable', 'truncated']),
    (IMAGE, lambda path: path.write_bytes(b''), ['error: 1 image: unreadable', 'is empty']),
    (LABEL, _save(_label()[::2, ::2]), ['not of the size of the image', 'label map 18 x 12, image 36 x 24']),
    (LABEL, _save(MASK), ['error: 1 label map: masks of 0 and 255, and 255 is no class', 'Write 1']),
    (LABEL, _save(PALETTE[_label()]), ["error: 1 label map: colour masks, in the colours of the data set's palette",
                                       'RGB, 3 channels, 12 colours']),
    (LABEL, _save(np.stack([_label()] * 3, axis=-1)), ['several channels, all equal']),
    (LABEL, _save(_label().astype(np.uint16) * 256), ['values beyond 8 bits', '256, 512']),
    (LABEL, _save(_label() + np.uint8(20)), ['neither classes (0 to 10) nor ignored (11)', '20, 21']),
    (LABEL, os.remove, ['error: 1 label map: missing', 'trainannot/train1.png: does not exist\n']),
    (LABEL, lambda path: path.rename(path.with_suffix('.bmp')), ['label map: missing', 'there is train1.bmp']),
    (IMAGE, lambda path: path.rename(path.with_suffix('.jpeg')), ['error: 1 image with a label map: left out'])])
def test_one_bad_file_is_named_and_explained(data, check, file, damage, messages):
    damage(_file(data, file))
    code, log = check()
    assert code == 1
    for message in [*messages, file.rsplit('.', 1)[0], 'Training is NOT sensible: 1 error']:
        assert message in log


def test_deep_label_maps_that_are_read_right(data, check):
    _save(_label().astype(np.uint16))(_file(data))
    code, log = check()
    assert code == 0
    assert 'warning: 1 label map: more than 8 bits' in log
    assert 'trainannot/train1.png: I;16' in log


def _deep(path):
    Image.fromarray(np.full((HEIGHT, WIDTH), 4095, np.uint16)).save(path, 'PNG')


def _deep_colours(path):
    cv2.imwrite(str(path.with_suffix('.png')), np.full((HEIGHT, WIDTH, 3), 4095, np.uint16))
    path.with_suffix('.png').rename(path)


def _pages(kinds: list[int]):
    def save(path):
        pictures = [Image.fromarray(np.full((HEIGHT, WIDTH), 7, np.uint8)) for _ in kinds]
        tifffile.imwrite(path, np.asarray(pictures[0]), subfiletype=kinds[0], photometric='minisblack')
        for picture, kind in zip(pictures[1:], kinds[1:], strict=True):
            tifffile.imwrite(path, np.asarray(picture), subfiletype=kind, photometric='minisblack', append=True)
    return save


@pytest.mark.parametrize(('save', 'said'), [
    (_deep, '1 image: 16 bits, of which this loading keeps the upper 8'),
    (_deep_colours, '1 image: 16 bits, of which this loading keeps the upper 8'),
    (lambda path: tifffile.imwrite(path, np.zeros((HEIGHT, WIDTH, 3), np.uint16), photometric='rgb'),
     '1 image: 16 bits'),
    (_pages([0, 0]), '1 image: several pages, of which the first alone is read'),
    (_pages([0, 1]), '')])
def test_what_is_lost_of_an_image(data, check, save, said):
    save(_file(data, IMAGE))
    code, log = check()
    assert code == 0
    assert (f'warning: {said}' in log) if said else ('Training is sensible: 0 errors, 0 warnings' in log)


def test_an_empty_folder(data, check):
    for image in (data / 'train').iterdir():
        image.unlink()
    code, log = check()
    assert code == 1
    assert 'error: there are no images in data/camvid/train' in log
    assert 'val_dataloader.dataset: mmseg_attn.CamVidDataset, 2 images' in log


def test_no_folder(data, check):
    shutil.rmtree(data / 'train')
    code, log = check()
    assert code == 1
    assert 'error: data/camvid/train does not exist (from train_dataloader.dataset' in log


def test_a_wrong_suffix_in_the_config(data, check):
    code, log = check('--cfg-options', 'train_dataloader.dataset.img_suffix=.png')
    assert code == 1
    assert 'error: no image in data/camvid/train ends in .png' in log
    assert "5 end in .jpg: set train_dataloader.dataset.img_suffix='.jpg'" in log


def test_all_files_are_in_the_report(data, check):
    for i in range(5):
        (data / 'trainannot' / f'train{i}.png').unlink()
    (data / 'valannot' / 'val0.png').unlink()
    code, log = check('--out-dir', 'out')
    assert code == 1
    for i in range(12):
        shutil.copy(data / 'train' / 'train0.jpg', data / 'train' / f'more{i}.jpg')
    log = check('--out-dir', 'out')[1]
    assert 'error: 17 label maps: missing' in log
    assert '... and 12 more' in log
    report = (data.parents[1] / 'out' / 'report.txt').read_text()
    assert sum('does not exist' in line for line in report.splitlines()) == 18
    assert '... and' not in report


def test_images_without_label_maps_of_another_suffix(data, check):
    shutil.copy(data / 'train' / 'train0.jpg', data / 'train' / 'unlabelled.jpeg')
    code, log = check()
    assert code == 0
    assert 'warning: 1 image without a label map: left out, for want of the suffix .jpg' in log


@pytest.mark.parametrize(('options', 'level', 'message'), [
    (['model.decode_head.num_classes=12'], 'error',
     'model.decode_head has num_classes=12, and train_dataloader.dataset has 11 classes'),
    (['model.auxiliary_head.ignore_index=255'], 'error', 'model.auxiliary_head ignores 255, and model.decode_head 11'),
    (['model.decode_head.ignore_index=255', 'model.auxiliary_head.ignore_index=255'], 'error',
     '5 label maps: the value 11, which the data set ignores and the model does not'),
    (['model.data_preprocessor.seg_pad_val=255'], 'warning', 'label maps are padded with 255'),
    (['val_dataloader.dataset.pipeline.0.to_float32=True'], 'warning',
     'val_dataloader.dataset loads images by LoadImageFromFile(to_float32=True), and train_dataloader.dataset by '),
    (['val_evaluator.ignore_index=255'], 'warning', 'val_evaluator ignores 255, and model.decode_head 11'),
    (['val_dataloader.dataset.data_prefix.img_path=train',
      'val_dataloader.dataset.data_prefix.seg_map_path=trainannot'],
     'warning', '5 images of val are in train as well')])
def test_settings_that_do_not_fit(data, check, options, level, message):
    code, log = check('--cfg-options', *options)
    assert code == (level == 'error')
    assert f'{level}: {message}' in log


def test_reduce_zero_label(data, check):
    code, log = check('--cfg-options', *(f'{split}_dataloader.dataset.reduce_zero_label=True' for split in NUM_IMAGES),
                      'model.decode_head.ignore_index=255', 'model.auxiliary_head.ignore_index=255')
    assert code == 0
    rows = _rows(log)
    assert rows['10 Bicyclist'][:2] == ['8.33', '5']  # the raw value 11
    assert rows['ignored 8.33'] == ['8.33', '8.33']   # the raw value 0


OWN_CONFIG = """
_base_ = '{base}'
classes = ('background', 'object')
data = dict(_delete_=True, type='BaseSegDataset', data_root='data/camvid', img_suffix='.jpg', seg_map_suffix='.png',
            metainfo=dict(classes=classes, palette=[[0, 0, 0], [255, 0, 0]]))
train_dataloader = dict(dataset=dict(
    _delete_=True, type='RepeatDataset', times=3, dataset=dict(
        type='BaseSegDataset', data_root='data/camvid', img_suffix='.jpg', seg_map_suffix='.png', pipeline=[],
        metainfo=dict(classes=classes, palette=[[0, 0, 0], [255, 0, 0]]),
        data_prefix=dict(img_path='train', seg_map_path='trainannot'))))
val_dataloader = dict(dataset=dict(
    **data, data_prefix=dict(img_path='val', seg_map_path='valannot'), pipeline=_base_.test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ignore_index=255)
test_evaluator = val_evaluator
model = dict(data_preprocessor=dict(seg_pad_val=255),
             decode_head=dict(type='mmseg_attn.EMAHead', ema_channels=128, num_classes=2, ignore_index=255),
             auxiliary_head=dict(num_classes=2, ignore_index=255))
"""


@pytest.fixture
def own_config(data):
    config = data.parents[1] / 'own.py'
    config.write_text(OWN_CONFIG.format(base=CONFIGS / '_base_' / 'camvid.py'))
    return config


def test_masks_whose_foreground_is_ignored(data, check, own_config):
    for label in data.glob('*annot/*.png'):
        _save(MASK)(label)
    code, log = check(config=own_config)
    assert code == 1
    assert 'train_dataloader.dataset.dataset: BaseSegDataset, 5 images' in log
    assert 'error: 5 label maps: nothing but 0 and 255, and 255 is ignored' in log
    assert 'error: only background occurs in train' in log
    assert 'test_dataloader' not in log  # the validation set once more
    for label in data.glob('*annot/*.png'):
        _save(MASK // 255)(label)
    assert check(config=own_config)[0] == 0


def test_what_prepare_data_makes_of_voc(tmp_path, monkeypatch, check):
    pytest.importorskip('scipy')
    monkeypatch.chdir(tmp_path)
    layout = make_voc(tmp_path / 'archives')
    prepare_voc(tmp_path / 'data' / 'VOCdevkit' / 'VOC2012', tmp_path / 'archives', None, 1, layout)
    code, log = check(config=CONFIGS / 'emanet_r101_voc.py')
    assert code == 0, log
    assert 'train_dataloader.dataset.datasets.0: PascalVOCDataset, 3 images, 7 x 5 pixels' in log
    assert 'train_dataloader.dataset.datasets.1: PascalVOCDataset, 5 images, 7 x 5 pixels' in log
    assert 'test_dataloader' not in log


def test_what_prepare_data_makes_of_cityscapes(tmp_path, monkeypatch, check):
    monkeypatch.chdir(tmp_path)
    layout = make_cityscapes(tmp_path / 'archives')
    prepare_cityscapes(tmp_path / 'data' / 'cityscapes', tmp_path / 'archives', 1, layout)
    config = CONFIGS / 'emanet_r101_cityscapes.py'
    assert check(config=config)[0] == 0
    code, log = check('--cfg-options', 'train_dataloader.dataset.seg_map_suffix=_gtFine_labelIds.png', config=config)
    assert code == 1
    assert 'error: 3 label maps: ids of Cityscapes (0 to 33) instead of train ids (0 to 18)' in log
    for train_ids in tmp_path.rglob('val/*/*_labelTrainIds.png'):
        train_ids.unlink()
    code, log = check(config=config)
    assert code == 1
    assert 'error: 1 label map: missing' in log
    assert 'prepare_data cityscapes makes the train ids' in log


def test_a_sheet_shows_wrong_values_first(data, check):
    for i in range(5):
        _save(np.zeros((HEIGHT, WIDTH, 3), np.uint8))(data / 'train' / f'train{i}.jpg')
    _save(np.full((HEIGHT, WIDTH), 77, np.uint8))(_file(data, 'trainannot/train3.png'))
    check('--out-dir', 'out', '--splits', 'train', sheets=True)
    sheet = np.array(Image.open(data.parents[1] / 'out' / 'overlays_train.png').convert('RGB')).astype(int)
    half_magenta = (abs(sheet - [140, 0, 140]) < 2).all(axis=-1)  # over black: 0.55 of it
    assert half_magenta.sum() > 10_000
    rows, columns = np.nonzero(half_magenta)
    assert rows.max() < sheet.shape[0] / 2
    assert columns.max() < sheet.shape[1] / 4


def test_a_sheet_of_before_does_not_stay(data, check):
    sheet = data.parents[1] / 'out' / 'overlays_train.png'
    check('--out-dir', 'out', '--splits', 'train', sheets=True)
    assert sheet.is_file()
    for label in (data / 'trainannot').iterdir():
        label.unlink()
    check('--out-dir', 'out', '--splits', 'train', sheets=True)
    assert not sheet.exists()


@pytest.mark.parametrize(('config', 'arguments', 'message'), [
    ('nothing.py', [], r'there is no config file nothing.py'),
    (CONFIGS / '_base_' / 'default.py', [], r'default.py has no model'),
    (CONFIGS / 'emanet_r18_camvid.py', ['--nproc', '0'], r'--nproc must be at least 1, got 0'),
    (CONFIGS / 'emanet_r18_camvid.py', ['--cfg-options', 'no_value'], r'--cfg-options takes KEY=VALUE'),
    (CONFIGS / 'emanet_r18_camvid.py', ['--cfg-options', 'model.decode_head.type=EMAHed'], r'did you mean EMAHead'),
    (CONFIGS / 'emanet_r18_camvid.py', ['--out-dir', '/proc/out'], r'cannot write into the folder /proc/out')])
def test_errors_of_the_user(data, check, config, arguments, message):
    with pytest.raises(UserError, match=message):
        check(*arguments, config=config)


@pytest.mark.slow
def test_exit_codes_of_the_command(data, tmp_path):
    _file(data).write_bytes(b'')
    result = tool('check_data.py', CONFIGS / 'emanet_r18_camvid.py', cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert 'Training is NOT sensible: 1 error, 0 warnings.' in result.stdout
    assert 'there is no config file' in fails(tool('check_data.py', 'nothing.py', cwd=tmp_path))


@pytest.mark.slow
def test_the_real_camvid(tmp_path, camvid):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'camvid').symlink_to(camvid)
    result = tool('check_data.py', CONFIGS / 'emanet_r18_camvid.py', cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert 'Training is sensible: 0 errors, 0 warnings.' in result.stdout
