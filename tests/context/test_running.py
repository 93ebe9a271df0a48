"""Over a data set: resumed, refused, and on a network that is known to rely on one object."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_attn.common.errors import UserError
from mmseg_attn.context import running
from mmseg_attn.context.images import Settings
from mmseg_attn.context.report import write
from mmseg_attn.context.summary import summarize
from mmseg_attn.inference.prediction import Prediction, Predictor
from tests.explain.models import model
from tests.tools.command import run_here

NAMES = [f'class {i}' for i in range(5)]


@pytest.fixture
def net(shapes, tmp_path):
    found = model()
    found.cfg.test_dataloader.dataset.data_root = str(shapes)
    torch.save(dict(state_dict=found.state_dict()), tmp_path / 'weights.pth')
    return found


class KnowsTheKey(Predictor):
    """Names shapes (classes 1 to 3) rightly where the image has pixels of the key's colour, and else calls them 1."""

    def __init__(self, net, labels):
        super().__init__(net)
        self.labels = labels

    def __call__(self, picture):
        pixels = picture if isinstance(picture, np.ndarray) else picture.pixels
        found = self.labels.copy()
        if not (pixels.max(axis=2).astype(int) - pixels.min(axis=2) > 100).any():
            found[(found > 0) & (found < 4)] = 1
        return Prediction(found.astype(np.uint8), None)


@pytest.fixture
def run(net, tmp_path):
    def call(settings, count=3, predictor=None, out='out'):
        (tmp_path / out).mkdir(exist_ok=True)
        steps = []
        found = running.run(predictor or Predictor(net), net.cfg, settings, tmp_path / 'weights.pth', count,
                            tmp_path / out, lambda *numbers: steps.append(numbers))
        assert steps == [(i + 1, len(found)) for i in range(len(found))]
        return found
    return call


def test_goes_on_where_it_was_killed(run, tmp_path, monkeypatch):
    settings = Settings(points=2, masked=(4,))
    whole = run(settings)
    path = tmp_path / 'out' / 'images.jsonl'
    lines = path.read_text().splitlines()
    assert len(lines) == 3
    # The second line is cut off, as by a kill.
    path.write_text(f'{lines[0]}\n{lines[1][:50]}')
    measured = []
    measure = running.measure
    monkeypatch.setattr(running, 'measure', lambda *args: measured.append(args[1].name) or measure(*args))
    assert json.loads(json.dumps([vars(image) for image in run(settings)])) == json.loads(
        json.dumps([vars(image) for image in whole]))
    assert len(measured) == 2
    assert run(settings) == run(settings)
    assert len(measured) == 2
    with pytest.raises(UserError, match=r'out has results of other settings \(points, fill\): choose another --out'):
        run(Settings(points=3, masked=(4,), fill='blur'))


def test_shares_are_of_the_points_of_each_class(run):
    images = run(Settings(points=3))
    for image in images:
        assert image.kind == 'attention'
        assert sum(image.area) == pytest.approx(1)
        assert image.shares.keys() == {i for i, area in enumerate(image.area) if area}
        for share, (weights, cells) in zip(image.shares.values(), image.distances.values(), strict=True):
            assert sum(share) == pytest.approx(1)
            assert sum(weights) == pytest.approx(1)
            assert sum(cells) == pytest.approx(1)
    summary = summarize(images, 5)
    own = [image.shares[0] for image in images]
    np.testing.assert_allclose(summary.shares[0], np.mean(own, axis=0))
    np.testing.assert_allclose(summary.spread[0], np.std(own, axis=0, ddof=1))
    assert summary.images[0] == len(images) == 3


def test_every_class_has_the_mean_of_its_own_points(run, monkeypatch):
    monkeypatch.setattr('mmseg_attn.context.images.class_shares',
                        lambda maps, labels, classes: np.repeat(np.arange(len(maps.points))[:, None], classes, axis=1))
    image, = run(Settings(points=3), count=1)
    assert [share[0] for share in image.shares.values()] == [1 + 3 * i for i in range(len(image.shares))]
    assert len(image.shares) == 3


def test_what_is_known_to_rely_on_the_key(net, run, shapes, tmp_path):
    """Only pixels of strong colour, which the key alone has, tell this network the class of a shape."""
    dataset = running.DATASETS.build(net.cfg.test_dataloader.dataset)
    truth = {}
    for i in range(len(dataset)):
        sample = dataset[i]['data_samples']
        truth[sample.img_path] = sample.gt_sem_seg.data[0].numpy()
    places = [i for i, path in enumerate(truth) if (truth[path] == 2).any()][:1]
    path = list(truth)[places[0]]
    net.cfg.test_dataloader.dataset.indices = places
    images = run(Settings(points=1, masked=(0, 2, 4)), count=None, predictor=KnowsTheKey(net, truth[path]))
    # Before comes from the network itself: here it counts as if it had been right.
    for image in images:
        for index in image.before:
            others = truth[path] != index
            for found in image.before[index], image.after[index]:
                assert np.sum(found) == others.sum()
                assert not np.any(found[index])
            image.before[index] = np.diag(np.bincount(truth[path][others], minlength=5)).tolist()
    summary = write(tmp_path / 'out', images, NAMES, Settings(masked=(0, 2, 4)), 'title')
    assert summary.drops[2, 4] == 1
    assert summary.drops[0, 4] == 0
    assert summary.drops[4, 2] == 0
    rows = {row[0]: row[1:] for row in csv.reader((tmp_path / 'out' / 'without.csv').read_text().splitlines())}
    assert rows['class'] == ['class 0', 'class 2', 'class 4']
    assert rows['class 2'][2] == '1.000000'
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert 'without class 4' in page
    assert '100.0' in page


def test_labels_of_another_size_are_refused(net, run, shapes, tmp_path, monkeypatch):
    image = tmp_path / 'small.png'
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(image)
    monkeypatch.setattr(running, 'Path', lambda *parts: image)
    with pytest.raises(UserError, match=r'has 20 x 20 pixels, and its labels 160 x 160: the pipeline must load labels'):
        run(Settings(), count=1)


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--points', '0'], 'at least 1, got 0'),
    (['--images', '0'], 'at least 1, got 0'),
    (['--block', 'a', '--influence'], 'give one of the two'),
    (['--mask', 'boat'], r'--mask boat is no class: there are background, red shape'),
    (['--block', 'backbone.nothing'], 'backbone.nothing is no block with an attention map')])
def test_wrong_arguments(arguments, message, net, few_shapes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net.cfg.test_dataloader.dataset.data_root = str(few_shapes)
    net.cfg.dump('config.py')
    with pytest.raises(UserError, match=message):
        run_here('explore_dataset', 'config.py', 'weights.pth', '--out', 'out', *arguments)
