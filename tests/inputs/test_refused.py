"""Images that the network does not take: every command says the same of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.registry import TRANSFORMS
from mmseg.apis import init_model
from mmseg.models import BaseSegmentor
from mmseg.registry import DATASETS

from mmseg_attn.common import loading_steps
from mmseg_attn.common.config import known_channels
from mmseg_attn.common.config_checks import check_config
from mmseg_attn.common.errors import UserError
from mmseg_attn.datasets.reading_errors import name_files_in_errors
from mmseg_attn.explain import look
from mmseg_attn.inference.files import Job
from mmseg_attn.inference.prediction import Predictor
from mmseg_attn.inference.running import run_image
from tests.tools.command import run_here

from .kinds import BANDS, COLOUR, KINDS, Kind, config_of, write_files


@TRANSFORMS.register_module()
class AddMyDepth(BaseTransform):
    """Adds channels of another file, which may have too many."""

    def transform(self, results: dict) -> dict:
        return dict(results, img=np.dstack([results['img'], results['img'][..., :1]]))


@TRANSFORMS.register_module()
class FailForMe(BaseTransform):
    def transform(self, results: dict) -> dict:
        raise RuntimeError('no such weather\nfor pictures')


def _array(steps: list[dict], pixels: np.ndarray = BANDS, channels: int = 5) -> Kind:
    return Kind('.npy', lambda path: np.save(path, pixels), steps, channels)


def _png(pixels: np.ndarray, channels: int, *steps: dict, **options) -> Kind:
    steps = dict(type='LoadImageFromFile', **options), *steps
    return Kind('.png', lambda path: cv2.imwrite(str(path), pixels), list(steps), channels)


TRANSPARENT = np.dstack([COLOUR, COLOUR[..., :1]])
NOT_A_NUMBER = np.where(BANDS > 0, BANDS, np.nan)
LOADED = 'channels as it is loaded, and the network takes'
REFUSED = {
    'not a number': (_array([dict(type='LoadMyArray')], NOT_A_NUMBER), 'values that are not finite, such as NaN'),
    'infinite': (_array([dict(type='LoadMyArray')], np.where(BANDS > 0, BANDS, np.inf)), 'values that are not finite'),
    'no size': (_array([dict(type='LoadMySizeless')]),
                "no step of the pipeline sets ori_shape and img_shape, the size of the image: the transform that loads "
                "it must, by results['ori_shape'] = results['img_shape'] = results['img'].shape[:2]"),
    'fewer bands': (_array([dict(type='LoadMyArray')], BANDS[..., :3]),
                    f'3 {LOADED} 5.\n  All images need the channels that the network is made for, or a network for 3 '
                    'channels: model.backbone.in_channels=3, '),
    'bands first': (_array([dict(type='LoadMyArray')], BANDS.transpose(2, 0, 1)),
                    f'60 {LOADED} 5.\n  Its bands lie first (its shape is (5, 44, 60)), and must be the '
                    'last axis'),
    'transparency for colours': (_png(TRANSPARENT, 3, color_type='unchanged'),
                                 f"4 {LOADED} 3.\n  color_type='color' of LoadImageFromFile makes three of any image; "
                                 'a network for 4 channels: model.backbone.in_channels=4, and so many values in mean'),
    'colours for grey': (_png(COLOUR, 1), f"3 {LOADED} 1.\n  color_type='grayscale' of LoadImageFromFile makes one of"),
    'colours for transparency': (_png(TRANSPARENT, 4),
                                 f"3 {LOADED} 4.\n  color_type='unchanged' of LoadImageFromFile keeps the fourth"),
    'no transparency': (_png(COLOUR, 4, color_type='unchanged'), f'3 {LOADED} 4.\n  All images need the channels'),
    'one is dropped': (_png(TRANSPARENT, 4, dict(type='DropMyTransparency'), color_type='unchanged'),
                       'the image has 3 channels behind DropMyTransparency, which got 4, and the network takes 4.\n'
                       '  Leave DropMyTransparency out, or put a transform in its place that keeps all channels'),
    'one too many': (_png(TRANSPARENT, 4, dict(type='AddMyDepth'), color_type='unchanged'),
                     'the image has 5 channels behind AddMyDepth, which got 4, and the network takes 4.\n'),
    'one too few': (_png(COLOUR, 5, dict(type='AddMyDepth')),
                    'the image has 4 channels behind AddMyDepth, which got 3, and the network takes 5.\n'
                    '  AddMyDepth must make 5 of it, or a network for 4 channels: model.backbone.in_channels=4, '),
}


@pytest.fixture(params=REFUSED.values(), ids=REFUSED)
def case(request, tmp_path) -> tuple[Config, Path, str]:
    """A config, an image, and what is said of it."""
    kind, said = request.param
    path, *_ = write_files(kind, tmp_path)
    return config_of(kind, tmp_path), path, said


def _error(function, *arguments) -> str:
    with pytest.raises(UserError) as info:
        function(*arguments)
    return str(info.value)


def _model(cfg: Config) -> BaseSegmentor:
    check_config(cfg)
    model = init_model(cfg, device='cpu')
    model.dataset_meta = dict(cfg.test_dataloader.dataset.metainfo)
    return model


def test_every_command_says_the_same(case, tmp_path):
    cfg, path, said = case
    model = _model(cfg)
    # Those who check labels see some of this by their size.
    cfg.test_dataloader.dataset.pipeline = loading_steps.testing_steps(cfg)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    name_files_in_errors(dataset, known_channels(cfg.model))
    message = _error(dataset.__getitem__, 0)
    assert message.startswith(f'{path}: ')
    assert said in message
    job = Job(path, tmp_path / 'overlay.png', tmp_path / 'mask.png', None)
    assert _error(run_image, job, Predictor(model), None) == message
    assert _error(look, model, path) == message
    assert [*tmp_path.glob('*.png')] == []


def test_before_anything_is_computed(tmp_path):
    kind, said = REFUSED['not a number']
    path, *_ = write_files(kind, tmp_path)
    config_of(kind, tmp_path).dump(tmp_path / 'config.py')
    (tmp_path / 'weights.pth').touch()
    message = _error(run_here, 'explore_attention', tmp_path / 'config.py', tmp_path / 'weights.pth', path,
                     '--out', tmp_path / 'pages')
    assert said in message


def test_a_step_that_fails(tmp_path):
    kind = _png(COLOUR, 3, dict(type='FailForMe'))
    path, *_ = write_files(kind, tmp_path)
    model = _model(config_of(kind, tmp_path))
    assert _error(look, model, path).startswith(f'{path}: FailForMe of the test pipeline fails: RuntimeError: no such')


def test_a_network_that_fails(tmp_path, monkeypatch):
    path, *_ = write_files(KINDS['colour'], tmp_path)
    model = _model(config_of(KINDS['colour'], tmp_path))
    monkeypatch.setattr(model.backbone, 'forward', lambda inputs: inputs[:, :, 10 ** 9])
    assert _error(look, model, path).startswith(f'{path}: the network cannot take a picture of 60 x 44 pixels and 3 ')
