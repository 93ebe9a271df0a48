"""The messages that the documentation quotes are those that are given."""

import io
from importlib.util import find_spec
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import tifffile
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PhotoMetricDistortion
from mmseg.structures import SegDataSample

from mmseg_attn.attention import AdaptiveContext
from mmseg_attn.common.config_checks import check_config
from mmseg_attn.common.errors import _message
from mmseg_attn.common.image_files import image_size
from mmseg_attn.common.inputs import Passage
from mmseg_attn.common.pictures import PictureReader
from mmseg_attn.data_tools.annotations import bands
from mmseg_attn.data_tools.annotations.bands import read_bands
from mmseg_attn.data_tools.annotations.coco import read_coco
from mmseg_attn.data_tools.class_map import ClassMap
from mmseg_attn.data_tools.config_data import ConfigData
from mmseg_attn.data_tools.label_check import check_values
from mmseg_attn.data_tools.pairs import Pair, PairContent
from mmseg_attn.datasets.class_checks import check_classes
from mmseg_attn.datasets.eight_bits import EightBitGuard
from mmseg_attn.datasets.pipeline_checks import check_steps
from mmseg_attn.datasets.wrappers import problem_of_wrappers
from mmseg_attn.engine.batch_size import describe_batch_size
from mmseg_attn.engine.hooks import CheckInvalidLossHook
from mmseg_attn.engine.label_hook import CheckLabelsHook
from mmseg_attn.engine.labels import SeenClasses
from mmseg_attn.engine.workers import _check_sockets
from mmseg_attn.environment import MissingOperators
from mmseg_attn.models.encoder_decoder import _check
from tests.data_tools.annotated import coco
from tests.test_environment import SAID
from tests.tools.command import CONFIGS

from .pages import pages

PAGES = {page: ' '.join(text.split()) for page, text in pages().items()}
TROUBLE = 'docs/troubleshooting.md'


def _quoted(message: str, page: str = TROUBLE) -> bool:
    return ' '.join(message.split()) in PAGES[page]


def _error(function, *args, **kwargs) -> str:
    with pytest.raises(ValueError) as info:  # noqa: PT011, the message is what is looked at
        function(*args, **kwargs)
    return str(info.value)


def _runner(num_classes: int, **kwargs) -> SimpleNamespace:
    head = SimpleNamespace(num_classes=num_classes, out_channels=num_classes, ignore_index=255)
    return SimpleNamespace(model=SimpleNamespace(decode_head=head), iter=49, **kwargs)


def test_mmcv_without_operators():
    assert _quoted(SAID)
    with pytest.raises(ImportError) as info:
        MissingOperators('mmcv-lite==2.1.0').psamask_forward()
    assert _quoted(f'error: {str(info.value).splitlines()[0]}')


def test_a_failed_download():
    assert _quoted(f'error: {_message(URLError("..."))}')


def test_a_misspelt_type():
    cfg = Config.fromfile(CONFIGS / 'emanet_r18_shapes.py')
    cfg.model.decode_head.type = 'mmseg_attn.EMAHed'
    assert _quoted(_error(check_config, cfg))


def _differing(train: list[str], val: list[str], num_classes: int) -> str:
    init_default_scope('mmseg')
    loaders = {f'{split}_dataloader': dict(dataset=dict(type='BaseSegDataset', metainfo=dict(classes=classes)))
               for split, classes in (('train', train), ('val', val)) if classes}
    loaders.setdefault('val_dataloader', dict(dataset=dict(type='BaseSegDataset', metainfo={})))
    cfg = Config(dict(model=dict(decode_head=dict(num_classes=num_classes)), val_evaluator=dict(type='IoUMetric'),
                      **loaders))
    return _error(check_classes, cfg, 'train_dataloader', 'val_dataloader').split('.\n')[0]


@pytest.mark.parametrize(('train', 'val', 'num_classes'), [
    (['a', 'b'], [], 19), (['road', 'car'], ['car', 'road'], 2), (['road', 'car'], [], 2)])
def test_classes_that_do_not_fit(train, val, num_classes):
    assert _quoted(_differing(train, val, num_classes))


def test_a_label_that_is_no_class():
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.tensor([[[3, 200]]])),
                           metainfo=dict(seg_map_path='data/mine/labels/17.png'))
    message = _error(CheckLabelsHook().before_train_iter, _runner(11), 0, dict(data_samples=[sample]))
    assert _quoted(f'error: {message.splitlines()[0]}')


@pytest.mark.parametrize(('wrapper', 'quoted'), [
    (dict(type='ConcatDataset',
          datasets=[dict(type='BaseSegDataset', metainfo=dict(classes=(name,))) for name in 'ab']),
     'has other classes than'),
    (dict(type='ClassBalancedDataset', dataset=dict(type='BaseSegDataset')), 'it has no get_cat_ids')])
def test_wrappers(wrapper, quoted):
    title, _ = problem_of_wrappers(wrapper, 'train_dataloader.dataset')
    assert quoted in title
    assert _quoted(quoted)


def test_steps_of_a_pipeline():
    init_default_scope('mmseg')
    load = dict(type='LoadSingleRSImageFromFile')
    if find_spec('osgeo') is None:
        assert _quoted(_error(check_steps, dict(pipeline=[load]), 'train_dataloader.dataset'))
    problem = EightBitGuard([PhotoMetricDistortion()]).problem_before(
        PhotoMetricDistortion(), dict(img=np.full((2, 2, 3), 300, np.uint16)))
    assert problem is not None
    assert _quoted(problem.split(' 300')[0])


def test_masks_whose_object_is_ignored():
    content = PairContent(Pair('1.png', '1.png'), values={0: 7, 255: 3}, mode='L')
    data = ConfigData('train', 'train_dataloader.dataset', 'BaseSegDataset', [], ClassMap(('a', 'b'), (), 255))
    finding, = check_values(data, [content])
    assert _quoted(f'`{finding.title.split(": ")[1]}`')


def test_labels_of_one_class():
    seen = SeenClasses(2, 255)
    seen.add([torch.tensor([[0, 255]])])
    problem = seen.problem(('background', 'object'))
    assert problem is not None
    assert _quoted(f'`{problem.split(". ")[0].removesuffix(".")}`')


def test_padding_that_is_not_ignored():
    runner = _runner(3)
    runner.model.decode_head.ignore_index = 0
    runner.model.data_preprocessor = SimpleNamespace(size=(48, 64), seg_pad_val=255)
    sample = SegDataSample(metainfo=dict(img_path='data/mine/images/17.png'))
    batch = dict(inputs=[torch.zeros(3, 44, 60)], data_samples=[sample])
    assert _quoted(_error(CheckLabelsHook().before_train_iter, runner, 0, batch))


def test_a_loss_that_is_not_finite():
    hook = CheckInvalidLossHook()
    hook.every_n_train_iters = lambda runner, n: (runner.iter + 1) % n == 0
    message = _error(hook.after_train_iter, _runner(2), 0, outputs=dict(loss=torch.tensor(float('nan'))))
    assert _quoted(f'error: {message}')


def test_no_room_for_sockets(tmp_path, monkeypatch):
    folder = tmp_path / ('long' * 30)
    folder.mkdir()
    monkeypatch.setattr('tempfile.tempdir', str(folder))
    assert _quoted(_error(_check_sockets).split(f' {folder}')[0])


def _tiff(values: np.ndarray, plane: str) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, values, photometric='minisblack', planarconfig=plane)
    return out.getvalue()


def test_images_of_many_bands(tmp_path, monkeypatch):
    message = _error(read_bands, _tiff(np.zeros((5, 9, 13), np.uint16), 'separate'))
    assert _quoted(message[message.index('bands must'):].split('. ')[0])
    monkeypatch.setattr(bands, 'find_spec', lambda name: None)
    message = _error(image_size, b'no image') + bands.missing_reader('.tif')
    assert _quoted(message.split(': ')[0])


def test_categories_of_roboflow(tmp_path):
    cars = [dict(id=0, name='car'), dict(id=1, name='car')]
    box = dict(segmentation=[[1, 2, 6, 2, 6, 7]])
    file = coco(tmp_path / 'a.json', [dict(box, category_id=i) for i in (0, 1)], categories=cars)
    message = _error(read_coco, file, tmp_path / 'images')
    assert _quoted(message[message.index('have both'):])
    pets = [dict(id=0, name='pets'), dict(id=3, name='cat', supercategory='pets')]
    note, = read_coco(coco(tmp_path / 'a.json', [box], categories=pets), tmp_path / 'images').notes
    assert _quoted(note[note.index('it is no class'):])


def test_a_video_for_a_config_of_bands():
    steps = [dict(type='LoadImageFromFile', imdecode_backend='tifffile'), dict(type='PackSegInputs')]
    message = _error(PictureReader(Config(dict(test_pipeline=steps))).from_frame, np.zeros((9, 13, 3), np.uint8))
    assert _quoted(message.split(': ')[0])


def test_images_that_the_network_does_not_take():
    def said(step: str, passage: Passage, made: dict, channels: int) -> str:
        passage.note(type(step, (), {})(), made)
        return _error(passage.check, made, channels, LoadImageFromFile(color_type='unchanged'))
    transparent = dict(img=np.zeros((9, 13, 4)))
    of_four, of_three = (dict(inputs=torch.zeros(channels, 9, 13)) for channels in (4, 3))
    message = said('PackSegInputs', Passage(transparent), of_four, 3)
    assert _quoted(message)
    assert _quoted(message.splitlines()[0].replace('4', '3').replace('takes 3', 'takes 5'), 'docs/inference.md')
    assert _quoted(said('PhotoMetricDistortion', Passage(transparent), of_three, 4).splitlines()[0])
    assert _quoted(said('PackSegInputs', Passage({}), dict(inputs=torch.full((3, 9, 13), torch.nan)), 3).split(', ')[0])
    assert _quoted(said('PackSegInputs', Passage({}), dict(of_three, data_samples=SegDataSample()), 3))


def test_a_batch_of_one_image():
    assert _quoted(_error(AdaptiveContext(8).train(), torch.randn(1, 8, 4, 4)))


def test_windows_with_gaps():
    assert _quoted(_error(_check, dict(crop_size=(512, 512), stride=(600, 600))))


@pytest.mark.parametrize(('page', 'config'), [
    ('docs/clusters.md', 'emanet_r101_voc.py'), ('docs/getting_started.md', 'non_local_r18_shapes.py')])
def test_the_batch_size(page, config):
    assert _quoted(describe_batch_size(Config.fromfile(CONFIGS / config), 1), page)
