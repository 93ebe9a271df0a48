"""Data that cannot be used: one message with the file, from train, test and check_data alike."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_attn.cli import run_command
from mmseg_attn.data_tools import check
from mmseg_attn.datasets.reading_errors import CheckedPipeline, DataError
from mmseg_attn.registry import MODELS

from .kinds import COLOUR, KINDS, RESIZE, config_of, write_files

KIND = KINDS['colour']
LABELS = np.zeros((44, 60), np.uint8)


@dataclass(frozen=True)
class Fault:
    """
    Attributes:
        make: changes the data in a folder, and perhaps the config.
        said: what train and test say of it, with the name of the file.
        checked: what check_data says.
    """

    make: Callable
    said: str
    checked: str


def _label(write: Callable[[Path], object]) -> Callable:
    return lambda folder, cfg: write(folder / 'labels' / '1.png')


def _image(write: Callable[[Path], object]) -> Callable:
    return lambda folder, cfg: write(folder / 'images' / '1.png')


def _npy(path: Path) -> None:
    with open(path, 'wb') as file:
        np.save(file, LABELS)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


def _list(content: bytes, suffix: str = '.png') -> Callable:
    def make(folder, cfg):
        for path in (folder / 'images').iterdir():
            path.rename(path.with_suffix(suffix))
        (folder / 'list.txt').write_bytes(content)
        for split in 'train', 'val', 'test':
            cfg[f'{split}_dataloader']['dataset']['ann_file'] = 'list.txt'
    return make


def _suffix(folder, cfg):
    for path in (folder / 'images').iterdir():
        path.rename(path.with_suffix('.bmp'))


def _reduced_twice(folder, cfg):
    for split in 'train', 'val', 'test':
        cfg[f'{split}_dataloader']['dataset']['pipeline'][1]['reduce_zero_label'] = True


def _thin(folder, cfg):
    for name in 'images', 'labels':
        with Image.open(folder / name / '1.png') as image:
            thin = image.crop((0, 0, 40, 1))
        thin.save(folder / name / '1.png')


def _sizes(folder, cfg):
    for name in 'images', 'labels':
        with Image.open(folder / name / '1.png') as image:
            smaller = image.crop((0, 0, 50, 40))
        smaller.save(folder / name / '1.png')
    for split in 'val', 'test':
        cfg[f'{split}_dataloader']['batch_size'] = 2


def _tiff(pixels):
    def make(folder, cfg):
        for split in 'train', 'val', 'test':
            cfg[f'{split}_dataloader']['dataset']['seg_map_suffix'] = '.tif'
        for name in '01':
            Image.fromarray(pixels).save(folder / 'labels' / f'{name}.tif')
    return make


def _floats(*shape: int):
    def make(folder, cfg):
        for split in 'train', 'val', 'test':
            cfg[f'{split}_dataloader']['dataset']['img_suffix'] = '.tif'
        for name in '01':
            tifffile.imwrite(folder / 'images' / f'{name}.tif', np.zeros(shape, np.float32),
                             photometric='rgb' if len(shape) == 3 else 'minisblack')
    return make


def _without_labels(folder, cfg):
    for split in 'train', 'val', 'test':
        pipeline = cfg[f'{split}_dataloader']['dataset']['pipeline']
        cfg[f'{split}_dataloader']['dataset']['pipeline'] = [pipeline[0], pipeline[-1]]


def _resized_labels(folder, cfg):
    for split in 'val', 'test':
        pipeline = cfg[f'{split}_dataloader']['dataset']['pipeline']
        cfg[f'{split}_dataloader']['dataset']['pipeline'] = [*pipeline[:2], RESIZE, pipeline[-1]]


def _folders(folder, cfg):
    for split in 'train', 'val', 'test':
        cfg[f'{split}_dataloader']['dataset']['data_prefix'] = dict(img_path=['images'], seg_map_path='labels')


def _transparent(folder, cfg):
    Image.fromarray(np.dstack([COLOUR, COLOUR[..., :1]])).save(folder / 'images' / '1.png')
    for split in 'train', 'val', 'test':
        cfg[f'{split}_dataloader']['dataset']['pipeline'][0]['color_type'] = 'unchanged'


def _palette(folder, cfg):
    image = Image.fromarray(LABELS, 'P')
    image.putpalette([0, 0, 90, 40, 0, 90])
    image.save(folder / 'labels' / '1.png')
    for split in 'train', 'val', 'test':
        cfg[f'{split}_dataloader']['dataset']['pipeline'][1]['imdecode_backend'] = 'cv2'


def _grey_network(folder, cfg):
    cfg.model.backbone.in_channels = 1
    cfg.model.data_preprocessor.update(mean=[90.0], std=[50.0])


def _not_finite(folder, cfg):
    for name in '01':
        np.save(folder / 'images' / f'{name}.npy', np.full((44, 60, 3), np.nan if name == '1' else 0, np.float32))
    for split in 'train', 'val', 'test':
        cfg[f'{split}_dataloader']['dataset']['img_suffix'] = '.npy'
        cfg[f'{split}_dataloader']['dataset']['pipeline'][0]['type'] = 'LoadMyArray'


def _sizeless(folder, cfg):
    _not_finite(folder, cfg)
    for split in 'train', 'val', 'test':
        cfg[f'{split}_dataloader']['dataset']['pipeline'][0]['type'] = 'LoadMySizeless'


def _dropped(folder, cfg):
    cfg.model.backbone.in_channels = 4
    cfg.model.data_preprocessor.update(mean=[90.0] * 4, std=[50.0] * 4)
    for name in '01':
        Image.fromarray(np.dstack([COLOUR, COLOUR[..., :1]])).save(folder / 'images' / f'{name}.png')
    for split in 'train', 'val', 'test':
        cfg[f'{split}_dataloader']['dataset']['pipeline'][0]['color_type'] = 'unchanged'
        cfg[f'{split}_dataloader']['dataset']['pipeline'].insert(2, dict(type='DropMyTransparency'))


def _arrays(pixels: np.ndarray):
    def make(folder, cfg):
        np.save(folder / 'images' / '0.npy', COLOUR)
        np.save(folder / 'images' / '1.npy', pixels)
        for split in 'train', 'val', 'test':
            cfg[f'{split}_dataloader']['dataset']['img_suffix'] = '.npy'
            cfg[f'{split}_dataloader']['dataset']['pipeline'][0]['type'] = 'LoadMyArray'
    return make


def _distorted(pixels: np.ndarray, step: dict | None = None):
    def make(folder, cfg):
        _arrays(pixels)(folder, cfg)
        for split in 'train', 'val', 'test':
            cfg[f'{split}_dataloader']['dataset']['pipeline'].insert(2, step or dict(type='PhotoMetricDistortion'))
    return make


def _two_crops(folder, cfg):
    for split in 'train', 'val', 'test':
        cfg[f'{split}_dataloader']['dataset']['pipeline'].insert(2, dict(type='RandomCrop', crop_size=(0.5, 0.5)))


class _OfMyOwn:
    def get_data_info(self, index):
        return dict(super().get_data_info(index), name='a' * index)


@DATASETS.register_module()
class MyItems(_OfMyOwn, BaseSegDataset):
    """Fails for some images, before the pipeline."""

    def __getitem__(self, index):
        return dict(super().__getitem__(index), letter=self.get_data_info(index)['name'][0])


@DATASETS.register_module()
class MyPreparation(_OfMyOwn, BaseSegDataset):
    def prepare_data(self, index):
        return dict(super().prepare_data(index), letter=self.get_data_info(index)['name'][0])


def _type(name: str) -> Callable:
    def make(folder, cfg):
        for split in 'train', 'val', 'test':
            cfg[f'{split}_dataloader']['dataset']['type'] = name
    return make


@TRANSFORMS.register_module()
class NeedsAPackage(BaseTransform):
    def __init__(self):
        raise RuntimeError('the package is not installed')

    def transform(self, results: dict) -> dict:
        return results


@TRANSFORMS.register_module()
class LoadByAPackage(NeedsAPackage):
    pass


def _step(index: int, **step):
    def make(folder, cfg):
        for split in 'train', 'val', 'test':
            cfg[f'{split}_dataloader']['dataset']['pipeline'][index:index] = [step]
    return make


def _classes(*classes: str, splits: tuple[str, ...] = ('val', 'test'), **head):
    def make(folder, cfg):
        for split in splits:
            cfg[f'{split}_dataloader']['dataset']['metainfo'] = dict(classes=list(classes)) if classes else {}
        cfg.model.decode_head.update(head)
    return make


def _concatenated(**changes):
    def make(folder, cfg):
        for split in 'train', 'val', 'test':
            dataset = cfg[f'{split}_dataloader']['dataset']
            other = dict(dataset, **{key: value for key, value in changes.items() if key != 'metainfo'})
            other['metainfo'] = dict(dataset['metainfo'], **changes.get('metainfo', {}))
            cfg[f'{split}_dataloader']['dataset'] = dict(type='ConcatDataset', datasets=[dataset, other])
    return make


def _balanced(folder, cfg):
    for split in 'train', 'val', 'test':
        cfg[f'{split}_dataloader']['dataset'] = dict(
            type='ClassBalancedDataset', oversample_thr=0.1, dataset=cfg[f'{split}_dataloader']['dataset'])


def _save(pixels: np.ndarray, mode: str | None = None) -> Callable[[Path], object]:
    return lambda path: Image.fromarray(pixels, mode).save(path)


FAULTS = {
    'empty image': Fault(_image(lambda path: path.write_bytes(b'')), 'images/1.png: the image is empty', 'is empty'),
    'no image': Fault(_image(lambda path: path.write_bytes(b'no image' * 9)),
                      'images/1.png: LoadImageFromFile cannot read the image', 'unreadable'),
    'empty label map': Fault(_label(lambda path: path.write_bytes(b'')), 'labels/1.png: the label map is empty',
                             'is empty'),
    'truncated label map': Fault(_label(_cut), 'labels/1.png: LoadAnnotations cannot read the label map', 'unreadable'),
    'missing label map': Fault(_label(Path.unlink), 'there is no label map', 'missing'),
    'grey and alpha': Fault(_label(_save(np.dstack([LABELS, LABELS]), 'LA')),
                            'labels/1.png: the label map has 2 channels', 'channels'),
    'colours': Fault(_label(_save(COLOUR)), 'labels/1.png: the label map has 3 channels', 'channels'),
    'a palette read by OpenCV': Fault(_palette, 'labels/1.png: the label map has 3 channels',
                                      "imdecode_backend='cv2' of LoadAnnotations makes colours of a palette"),
    'smaller label map': Fault(_label(_save(LABELS[:-4])), 'labels/1.png: the label map has 60 x 40 pixels',
                               'not of the size'),
    'larger label map': Fault(_label(_save(np.zeros((50, 60), np.uint8))),
                              'labels/1.png: the label map has 60 x 50 pixels', 'not of the size'),
    'fractions': Fault(_tiff(np.full((44, 60), 0.5, np.float32)), 'holds 0.5, and mmseg keeps', 'fractions'),
    'ids beyond 8 bits': Fault(_tiff(np.full((44, 60), 1024, np.uint16)), 'holds 1024, and mmseg', 'beyond 8 bits'),
    'ids of 255 modulo 256': Fault(_tiff(np.full((44, 60), 511, np.uint16)), 'holds 511, and mmseg',
                                   'values beyond 8 bits (0 to 255), which training refuses'),
    'a void of -1': Fault(_tiff(np.full((44, 60), -1, np.int32)), 'holds -1, and mmseg',
                          'values beyond 8 bits (0 to 255), which training refuses'),
    'colours of floats': Fault(_floats(44, 60, 3), "has floats, which OpenCV reads only with color_type='unchanged'",
                               'of another kind than the pipeline loads'),
    'floats': Fault(_floats(44, 60), "has floats, which OpenCV reads only with color_type='unchanged'",
                    'of another kind than the pipeline loads'),
    'labels of NumPy': Fault(_label(_npy), 'is an array of NumPy, which only a transform of your own loads',
                             'label map: of another kind than the pipeline loads'),
    'arrays of objects': Fault(_arrays(COLOUR.astype(object)), 'LoadMyArray cannot read the image: Object arrays',
                               'otherwise the steps of train_dataloader.dataset.pipeline that load them do not fit'),
    'bands first': Fault(_arrays(COLOUR.transpose(2, 0, 1)), 'its bands lie first, and must be the last axis',
                         '1 image: the bands lie first, and must be the last axis'),
    'no labels loaded': Fault(_without_labels, 'loads labels', 'loads labels'),
    'labels resized': Fault(_resized_labels, 'Resize stands behind LoadAnnotations', 'Resize stands behind'),
    'list in Latin-1': Fault(_list('\u00e4\n'.encode('latin-1')), 'is not in UTF-8', 'is not in UTF-8'),
    'list of columns': Fault(_list(b'0\t0\n'), 'has several columns', 'has several columns'),
    'several folders': Fault(_folders, 'data_prefix.img_path must be the name of one folder', 'one folder'),
    'other channels': Fault(_transparent, 'images/1.png: the image has 4 channels',
                            '1 image: the image has 4 channels as it is loaded, and the network takes 3'),
    'a network for grey images': Fault(_grey_network, 'images/0.png: the image has 3 channels',
                                       '2 images: the image has 3 channels as it is loaded, and the network takes 1'),
    'not finite': Fault(_not_finite, 'images/1.npy: the image holds values that are not finite',
                        '1 image: the image holds values that are not finite'),
    'no size of the image': Fault(_sizeless, 'images/0.npy: no step of the pipeline sets ori_shape and img_shape',
                                  'no step of the pipeline sets ori_shape and img_shape'),
    'a step that drops a channel': Fault(_dropped, 'images/0.png: the image has 3 channels behind DropMyTransparency',
                                         'the image has 3 channels behind DropMyTransparency, which got 4'),
    '16 bits distorted': Fault(_distorted(COLOUR.astype(np.uint16) * 200),
                               'images/1.npy: PhotoMetricDistortion makes whole numbers from 0 to 255 of any image, '
                               'and this one holds 51000: take', '1 image: PhotoMetricDistortion makes'),
    'decibels distorted': Fault(_distorted(COLOUR / np.float32(-20)), 'this one holds -12.75: take',
                                'this one holds -12.75'),
    'fractions distorted': Fault(_distorted(COLOUR / np.float32(255)), 'this one holds fractions, at most 1: take',
                                 'holds fractions, at most 1'),
    'perhaps distorted': Fault(
        _distorted(COLOUR * np.float32(2), dict(type='RandomApply', transforms=[dict(type='PhotoMetricDistortion')])),
        'this one holds 510: take', 'this one holds 510'),
    'bands distorted': Fault(_distorted(COLOUR[..., :2]), 'takes images of 3 channels, and this one has 2',
                             'this one has 2 as it is loaded'),
    'a step that fails': Fault(_two_crops, 'images/0.png: RandomCrop of the pipeline fails',
                               'RandomCrop of the pipeline fails'),
    'a loading step that needs a package': Fault(
        _step(0, type='LoadByAPackage'), 'LoadByAPackage in the pipeline of ', 'LoadByAPackage in the pipeline of tr'),
    'a step that needs a package': Fault(_step(2, type='NeedsAPackage'), 'NeedsAPackage in the pipeline of ',
                                         'the package is not installed'),
    'a step with wrong settings': Fault(_step(2, type='RandomFlip', prob=7), 'RandomFlip in the pipeline of ',
                                        'cannot be built'),
    'items of my own': Fault(_type('MyItems'), 'images/0.png, number 0 of the data set (MyItems): reading it fails: '
                             'IndexError: string index out of range (' + __file__, 'images/0.png, number 0 of'),
    'preparation of my own': Fault(_type('MyPreparation'), 'images/0.png, number 0 of the data set (MyPreparation)',
                                   'images/0.png, number 0 of'),
    'other classes': Fault(_concatenated(metainfo=dict(classes=list('abcdx'))), 'has other classes than',
                           'than train_dataloader.dataset.datasets.0: x in this only; e in that only'),
    'classes in another order': Fault(_concatenated(metainfo=dict(classes=list('abced'))),
                                      'datasets.0: in another order', 'datasets.0: in another order'),
    'classes as a tuple': Fault(_concatenated(metainfo=dict(classes=tuple('abcde'))), 'a tuple instead of a list',
                                'a tuple instead of a list'),
    'zero reduced in one': Fault(_concatenated(reduce_zero_label=True), "ignore_keys=['reduce_zero_label'] in ",
                                 'reduce_zero_label is True in'),
    'no classes': Fault(_classes(), '_dataloader.dataset has no classes, which ',
                        'val_dataloader.dataset has no classes'),
    'fewer classes in val': Fault(
        _classes(*'abc'), 'model.decode_head has num_classes=5, and ', 'val_dataloader.dataset has 3 classes'),
    'order of classes in val': Fault(
        _classes(*'bacde'), 'has the classes of train_dataloader.dataset in another order: 0 is b in this, and a in '
        'that', 'val_dataloader.dataset has the classes of train_dataloader.dataset in another order'),
    'three classes of one output': Fault(
        _classes(*'abc', num_classes=2, out_channels=1), 'model.decode_head has num_classes=2, and ', 'has 3 classes'),
    'balanced classes': Fault(_balanced, 'BaseSegDataset does not say which these are', 'it has no get_cat_ids'),
    'empty folder': Fault(lambda folder, cfg: [path.unlink() for path in (folder / 'images').iterdir()],
                          'there are no images in', 'there are no images in'),
    'wrong suffix': Fault(_suffix, "ends in .png.\n  2 end in .bmp: set", 'ends in .png'),
    'empty list': Fault(_list(b''), 'list.txt names no images', 'list.txt names no images'),
    'list with suffixes': Fault(_list(b'0.png\n1.png\n'), 'have a suffix (0.png)', 'have a suffix (0.png)'),
    'list of two names': Fault(_list(b'0 0\n1 1\n'), "has several columns ('0 0')", 'has several columns'),
    'list of two files': Fault(_list(b'0.png 0.png\n'), 'has several columns', 'has several columns'),
    'list with another suffix': Fault(_list(b'0.jpg\n', '.jpg'), 'have a suffix (0.jpg), and .png is added',
                                      "and set train_dataloader.dataset.img_suffix='.jpg'"),
    'list with a suffix that no image has': Fault(_list(b'0.jpg\n'), 'have a suffix (0.jpg), and .png is added',
                                                  "sed -i 's/.jpg$//'"),
    'list of whole paths': Fault(_list(b'/data/0\n'), 'has whole paths (/data/0)', 'has whole paths'),
    'list with the folder': Fault(_list(b'images/0\n'), 'begin with the folder images (images/0)',
                                  'begin with the folder images'),
    'list with a blank line': Fault(_list(b'0\n\n1\n'), 'line 2 of', 'line 2 of'),
    'list with a byte order mark': Fault(_list(b'\xef\xbb\xbf0\n1\n'), 'byte order mark', 'byte order mark'),
    'list with a missing image': Fault(_list(b'0\n7\n'), 'there is no image', 'missing'),
    'reduced twice': Fault(_reduced_twice, 'dataset: reduce_zero_label=True in LoadAnnotations, and False in the ',
                           'reduce_zero_label=True in LoadAnnotations'),
    'a side of one pixel': Fault(_thin, 'labels/1.png: a side of the label map has 1 pixel', 'a side of 1 pixel'),
    'sizes in a batch of testing': Fault(_sizes, 'set batch_size=1 in val_dataloader', 'batch_size=2, and the images'),
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """``write(fault)`` writes the data and config.py; the name of the config."""
    def make(fault: Fault) -> str:
        write_files(KIND, tmp_path)
        cfg = config_of(KIND, tmp_path)
        cfg.update(train_cfg=dict(type='IterBasedTrainLoop', max_iters=3, val_interval=3), log_level='ERROR')
        cfg.train_dataloader.update(sampler=dict(type='InfiniteSampler', shuffle=False))
        fault.make(tmp_path, cfg)
        cfg.dump(tmp_path / 'config.py')
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / 'weights.pth')
        return 'config.py'
    monkeypatch.chdir(tmp_path)
    return make


def _ended(capsys, *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        run_command(arguments[0], arguments[1:])
    printed = capsys.readouterr()
    return ended.value.code, printed.out + printed.err


@pytest.mark.parametrize('name', FAULTS)
@pytest.mark.parametrize('command', ['train', pytest.param('test', marks=pytest.mark.slow)])
def test_the_file_is_named(write, capsys, command, name):
    arguments = [command, write(FAULTS[name]), *(['weights.pth'] if command == 'test' else [])]
    code, printed = _ended(capsys, *arguments, '--cfg-options', 'train_dataloader.num_workers=0')
    message = printed.split('\nerror: ')[-1]
    assert (code, FAULTS[name].said in message) == (2, True), printed[-2000:]
    assert 'Traceback' not in printed
    assert len(message.splitlines()) <= 4


@pytest.mark.parametrize('name', [name for name, fault in FAULTS.items() if fault.checked])
def test_check_data_finds_it(write, capsys, monkeypatch, name):
    monkeypatch.setattr(check, 'draw_sheet', lambda *arguments: False)  # the slowest part
    code, printed = _ended(capsys, 'check_data', write(FAULTS[name]), '--nproc', '1')
    # A config that does not fit ends the command.
    assert (code in (1, 2), FAULTS[name].checked in ' '.join(printed.split())) == (True, True), printed[-2000:]


def test_errors_of_workers_have_no_traceback(write, capsys):
    code, printed = _ended(capsys, 'train', write(FAULTS['larger label map']), '--cfg-options',
                           'train_dataloader.num_workers=1')
    assert code == 2
    assert 'labels/1.png: the label map has 60 x 50 pixels' in printed.split('\nerror: ')[-1]
    assert 'Traceback' not in printed


def test_data_sets_that_go_together(write, capsys):
    def make(folder, cfg):
        _concatenated(reduce_zero_label=True)(folder, cfg)
        for split in 'train', 'val', 'test':
            cfg[f'{split}_dataloader']['dataset']['ignore_keys'] = ['reduce_zero_label']
    code, printed = _ended(capsys, 'train', write(Fault(make, '', '')))
    assert (code, 'Trained' in printed) == (0, True)


def test_errors_of_classes_in_workers(write, capsys):
    code, printed = _ended(capsys, 'train', write(FAULTS['items of my own']), '--cfg-options',
                           'train_dataloader.num_workers=1')
    assert code == 2
    assert FAULTS['items of my own'].said in printed.split('\nerror: ')[-1]
    assert 'Traceback' not in printed


def test_images_of_one_name_in_two_folders(write, capsys, tmp_path):
    def nested(folder, cfg):
        for kind in 'images', 'labels':
            for i in '01':
                (folder / kind / i).mkdir()
                (folder / kind / f'{i}.png').rename(folder / kind / i / 'a.png')
    arguments = ['test', write(Fault(nested, '', '')), 'weights.pth', '--out', 'masks']
    code, printed = _ended(capsys, *arguments)
    assert code == 2
    assert 'images/0/a.png and ' in printed
    assert not (tmp_path / 'masks').exists()


def test_a_pipeline_of_several_pictures_is_for_tta(write, capsys):
    def augmented(folder, cfg):
        cfg.test_dataloader['dataset']['pipeline'] = cfg.tta_pipeline
    code, printed = _ended(capsys, 'test', write(Fault(augmented, '', '')), 'weights.pth')
    assert code == 2
    assert 'put it into tta_pipeline, which test --tta uses' in printed


def test_a_dark_corner_is_no_image_of_fractions():
    pixels = np.full((8, 8, 3), 0.5, np.float32)
    pixels[6:] = 200
    crop = type('MyCrop', (), dict(__call__=lambda self, data: dict(data, img=data['img'][:4])))()
    pipeline = CheckedPipeline(Compose([lambda data: dict(data, img=pixels), crop,
                                        dict(type='mmseg.PhotoMetricDistortion')]))
    assert pipeline(dict(img_path='a.tif'))['img'].shape == (4, 8, 3)
    pixels[6:] = 1
    with pytest.raises(DataError, match=r'fractions, at most 0\.5'):
        pipeline(dict(img_path='a.tif'))


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_values_that_are_not_finite(value):
    pipeline = CheckedPipeline(Compose([lambda data: dict(data, inputs=torch.full((3, 2, 2), value))]))
    with pytest.raises(DataError, match=r'a\.tif: the image holds values that are not finite'):
        pipeline(dict(img_path='a.tif'))
