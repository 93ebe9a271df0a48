"""What test and the validation draw over: the images as the config loads them."""

import numpy as np
import pytest
import torch
from mmengine.visualization import Visualizer
from mmseg.models.segmentors import EncoderDecoder
from mmseg.visualization import SegLocalVisualizer
from PIL import Image

from mmseg_attn.common.display import displayable
from mmseg_attn.common.pictures import PictureReader
from mmseg_attn.datasets.loaded import LoadedImages
from mmseg_attn.engine import visualization_hook
from mmseg_attn.registry import DATASETS, MODELS
from tests.tools.command import run_here

from .kinds import KINDS, config_of, write_files

HOOK = dict(type='SegVisualizationHook')
VISUALIZER = dict(type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], alpha=0.5)
FOREIGN = 'arrays', *(pytest.param(name, marks=pytest.mark.slow) for name in (
    'bands', 'floats of three channels', '32 bits', 'shapes of arrays'))
USUAL = 'turned', *(pytest.param(name, marks=pytest.mark.slow) for name in (
    'colour', '16 bits in 8', 'floats', 'resized'))


@pytest.fixture
def write(tmp_path, monkeypatch):
    """``write(name of a kind)`` -> its config, which is written with data and weights."""
    def make(name: str, **hook):
        kind = KINDS[name]
        write_files(kind, tmp_path)
        cfg = config_of(kind, tmp_path)
        cfg.update(train_cfg=dict(type='IterBasedTrainLoop', max_iters=1, val_interval=1),
                   visualizer=dict(VISUALIZER, name=str(tmp_path)))
        cfg.default_hooks.visualization = dict(HOOK, **hook)
        cfg.experiment_name = tmp_path.name  # runs of one name within a second share a logger
        cfg.dump(tmp_path / 'config.py')
        torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), tmp_path / 'weights.pth')
        return cfg
    monkeypatch.chdir(tmp_path)
    return make


def _test(*arguments: str) -> None:
    run_here('test', 'config.py', 'weights.pth', *arguments)


def _pictures(folder) -> dict[str, np.ndarray]:
    return {path.name: np.array(Image.open(path)) for path in sorted(folder.glob('**/vis_image/*.png'))}


@pytest.mark.parametrize('name', FOREIGN)
def test_images_that_opencv_does_not_show(write, tmp_path, name, capsys, monkeypatch):
    cfg = write(name)
    drawn = []
    monkeypatch.setattr('mmseg_attn.common.drawing.Painter._paint',
                        lambda self, image, labels: drawn.append(image) or image)
    _test('--show-dir', 'shown')
    assert 'mIoU ' in capsys.readouterr().out
    suffix = KINDS[name].suffix
    assert list(_pictures(tmp_path / 'shown')) == [f'test_0{suffix}_1.png', f'test_1{suffix}_2.png']
    pixels = PictureReader(cfg).load(tmp_path / 'images' / f'0{suffix}').pixels
    assert np.array_equal(drawn[0], displayable(pixels))
    assert drawn[0].std() > 20


@pytest.mark.parametrize('name', USUAL)
def test_usual_images_are_coloured_as_by_mmseg(write, tmp_path, name, monkeypatch):
    """mmseg's pictures without the names of the classes, and with a legend to the right of them."""
    write(name)
    _test('--show-dir', 'ours')
    monkeypatch.setattr(visualization_hook, 'show_loaded_images', lambda cfg: None)
    draw = SegLocalVisualizer.add_datasample
    monkeypatch.setattr(SegLocalVisualizer, 'add_datasample',
                        lambda self, *args, **options: draw(self, *args, **options, with_labels=False))
    # A visualizer of its name would be found, which has a folder already.
    _test('--show-dir', 'theirs', '--cfg-options', f'visualizer.name={tmp_path}-theirs')
    ours, theirs = _pictures(tmp_path / 'ours'), _pictures(tmp_path / 'theirs')
    assert ours.keys() == theirs.keys()
    assert len(ours) == 2
    for path, picture in ours.items():
        other = theirs[path]
        assert picture.shape[1] > other.shape[1]
        # mmseg cuts fractions off.
        assert np.abs(picture[:, :other.shape[1]].astype(int) - other).max() <= 1


def test_in_a_window(write, monkeypatch):
    write('arrays')
    shown = []
    monkeypatch.setattr(Visualizer, 'show', lambda self, image, **options: shown.append(image.shape))
    _test('--show')
    assert [(height, width > 120) for height, width, _ in shown] == [(44, True)] * 2


def test_in_the_validation(write, tmp_path):
    write('arrays', draw=True, interval=1)
    run_here('train', 'config.py')
    assert [name[:9] for name in _pictures(tmp_path / 'work_dirs')] == ['val_0.npy', 'val_1.npy']


def test_an_image_that_cannot_be_shown_costs_no_metrics(write, tmp_path, capsys, monkeypatch):
    write('arrays')
    predict = EncoderDecoder.predict

    def predict_and_remove(self, *arguments):
        (tmp_path / 'images' / '0.npy').unlink(missing_ok=True)
        return predict(self, *arguments)
    monkeypatch.setattr(EncoderDecoder, 'predict', predict_and_remove)
    _test('--show-dir', 'shown')
    printed = capsys.readouterr()
    assert 'mIoU ' in printed.out
    assert f'There is no picture of {tmp_path}/images/0.npy: loading it again fails' in printed.out + printed.err
    assert list(_pictures(tmp_path / 'shown')) == ['test_1.npy_2.png']


def test_data_sets_in_wrappers_have_pipelines_of_their_own(write, tmp_path):
    cfg = write('arrays')
    arrays = cfg.test_dataloader.dataset
    kind = KINDS['grey']
    paths = write_files(kind, tmp_path / 'grey')
    dataset = DATASETS.build(dict(type='ConcatDataset', datasets=[
        arrays, config_of(kind, tmp_path / 'grey').test_dataloader.dataset]))
    images = LoadedImages(dataset)
    assert images.load(str(paths[1])).shape == (44, 60)
    assert images.load(str(tmp_path / 'images' / '0.npy')).shape == (44, 60, 5)
