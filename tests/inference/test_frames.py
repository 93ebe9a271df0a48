"""A frame of a video reaches the network as testing reads the same frame from a PNG."""

import re

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import TRANSFORMS
from mmseg.apis import init_model
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_attn.common.drawing import Painter
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.pictures import PictureReader
from mmseg_attn.inference.files import plan_jobs
from mmseg_attn.inference.prediction import Predictor
from mmseg_attn.inference.running import run_video
from tests.explain.models import picture
from tests.helpers import randomize
from tests.inference.sources import read_video, write_video
from tests.inputs.kinds import Kind, config_of


@TRANSFORMS.register_module()
class LoadHalf(BaseTransform):
    """A user's own, which makes another size and another type."""

    def transform(self, results: dict) -> dict:
        image = cv2.imread(results['img_path'])[::2, ::2, :2] / np.float32(255)
        return dict(results, img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])


def _loading(**options) -> list[dict]:
    return [dict(type='LoadImageFromFile', **options)]


STEPS = {
    'colour': _loading(),
    'floats': _loading(to_float32=True),
    'unchanged': _loading(color_type='unchanged', to_float32=True),
    'orientation ignored': _loading(color_type='color_ignore_orientation'),
    'read by Pillow': _loading(imdecode_backend='pillow', color_type='unchanged'),
    'grey': _loading(color_type='grayscale'),
    'grey floats': _loading(color_type='grayscale', to_float32=True),
    'grey of Pillow': _loading(color_type='grayscale', imdecode_backend='pillow'),
    'a loader of one\'s own': [dict(type='LoadHalf')]}


def _reader(steps: list[dict]) -> PictureReader:
    return PictureReader(Config(dict(test_pipeline=[*steps, dict(type='PackSegInputs')])))


@pytest.mark.parametrize('steps', STEPS.values(), ids=STEPS)
def test_it_is_loaded_as_from_a_png(tmp_path, steps):
    reader, frame = _reader(steps), picture(45, 61)
    cv2.imwrite(str(tmp_path / 'a.png'), frame)
    one, other = reader.from_frame(frame), reader.load(tmp_path / 'a.png')
    assert one.pixels.dtype == other.pixels.dtype
    assert np.array_equal(one.pixels, other.pixels)
    assert torch.equal(*(reader.prepare(each)['inputs'] for each in (one, other)))


GREY = Kind('.png', print, _loading(color_type='grayscale'), 1)


@pytest.fixture
def grey(tmp_path):
    """A config of grey images, its model, and a video."""
    cfg = config_of(GREY, tmp_path)
    model = randomize(init_model(cfg, device='cpu'))
    model.dataset_meta = dict(cfg.test_dataloader.dataset.metainfo)
    return cfg, model, write_video(tmp_path / 'drive.avi', frames=2)


def test_a_network_for_grey_images_sees_what_testing_shows_it(tmp_path, grey):
    cfg, model, video = grey
    seen = []
    model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    job, = plan_jobs(video, [video], tmp_path / 'out', frame_masks=True)
    run_video(job, Predictor(model), Painter(**model.dataset_meta))
    for name in 'images', 'labels':
        (tmp_path / name).mkdir()
    for i, frame in enumerate(read_video(video)[0]):
        cv2.imwrite(str(tmp_path / 'images' / f'{i}.png'), frame)
        Image.fromarray(np.zeros(frame.shape[:2], np.uint8)).save(tmp_path / 'labels' / f'{i}.png')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    tested = [model.test_step(pseudo_collate([dataset[i]]))[0].pred_sem_seg.data[0].numpy() for i in range(2)]
    assert len(seen) == 4
    assert seen[0].shape[1] == 1
    assert all(torch.equal(seen[i], seen[2 + i]) for i in range(2))
    for i, labels in enumerate(tested):
        assert np.array_equal(np.array(Image.open(job.mask / f'{i:06d}.png')), labels)
    # As of images: the picture that the network sees.
    overlay = read_video(job.overlay)[0]
    assert overlay.shape[:2] == (2, 44)
    assert overlay.shape[2] > 60


def test_a_config_that_reads_no_png_is_told(tmp_path, grey):
    _, model, video = grey
    model.cfg.test_dataloader.dataset.pipeline[0].imdecode_backend = 'tifffile'
    job, = plan_jobs(video, [video], tmp_path / 'out')
    with pytest.raises(UserError, match=re.escape(
            f'{video}: a frame of a video has 8-bit colours, and such images are not what this config reads: '
            'LoadImageFromFile of the test pipeline cannot load it: not a TIFF file')):
        run_video(job, Predictor(model), Painter(**model.dataset_meta))
    assert not [each for each in (tmp_path / 'out').rglob('*') if not each.is_dir()]


def test_a_network_for_many_bands_takes_no_video(tmp_path):
    cfg = config_of(Kind('.tif', print, _loading(color_type='unchanged'), 5), tmp_path)
    model = init_model(cfg, device='cpu')
    model.dataset_meta = dict(cfg.test_dataloader.dataset.metainfo)
    video = write_video(tmp_path / 'drive.avi', frames=1)
    job, = plan_jobs(video, [video], tmp_path / 'out')
    with pytest.raises(UserError, match=r'drive.avi: the image has 3 channels as it is loaded, and the network'):
        run_video(job, Predictor(model), Painter(**model.dataset_meta))
