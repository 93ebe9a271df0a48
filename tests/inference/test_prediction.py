import re

import cv2
import mmcv
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmseg.apis import inference_model
from PIL import Image

from mmseg_attn.common.errors import UserError
from mmseg_attn.explain import load_model
from mmseg_attn.inference.prediction import Predictor
from tests.explain.models import picture
from tests.explain.test_view import PADDED, RESIZED, SLIDE
from tests.inference.sources import network

OURS = dict(model__type='mmseg_attn.EncoderDecoder')
TESTED_RESIZED = dict(test_dataloader__dataset__pipeline=RESIZED, test_pipeline=RESIZED)
BINARY = dict(model__decode_head__num_classes=2, model__decode_head__out_channels=1, model__decode_head__threshold=0.5)


@pytest.mark.parametrize('options', [{}, SLIDE, OURS, TESTED_RESIZED, PADDED, BINARY],
                         ids=['whole', 'slide', 'ours', 'resized', 'padded', 'binary'])
def test_labels_and_probabilities_are_those_of_mmsegs_logits(options):
    net, image = network(**options), picture()
    plain, full = Predictor(net)(image), Predictor(net, probabilities=True)(image)
    sample = inference_model(net, image)
    assert plain.labels.dtype == np.uint8
    assert np.array_equal(plain.labels, sample.pred_sem_seg.data[0].numpy())
    assert np.array_equal(full.labels, plain.labels)
    assert len(np.unique(plain.labels)) > 1
    assert plain.probabilities is None
    logits = sample.seg_logits.data.double()
    expected = logits if len(logits) == 1 else logits.exp() / logits.exp().sum(dim=0)
    assert full.probabilities.dtype == np.float16
    assert full.probabilities.shape == (1 if options is BINARY else 5, 44, 60)
    np.testing.assert_allclose(full.probabilities, expected, atol=2 ** -11, rtol=0)
    if options is BINARY:
        assert np.array_equal(full.labels, expected[0] > 0.5)


def test_the_pipeline_is_that_of_testing():
    resized = dict(test_dataloader__dataset__pipeline=RESIZED)
    assert not np.array_equal(*(Predictor(network(**options))(picture()).labels for options in (resized, {})))


def test_logits_are_kept_only_for_probabilities():
    net = network(**OURS)
    Predictor(net)
    assert 'seg_logits' not in inference_model(net, picture())
    Predictor(net, probabilities=True)
    assert 'seg_logits' in inference_model(net, picture())


def test_names_of_the_probabilities():
    net = network(**BINARY)
    net.dataset_meta = dict(classes=['ground', 'water'])
    assert Predictor(net).channels == ['water']
    assert Predictor(network()).channels == [f'class {i}' for i in range(5)]


def _save(path, image, **options):
    image.save(path, **options)
    return path


def _rgb():
    return Image.fromarray(np.ascontiguousarray(picture()[..., ::-1]))


def test_pictures_are_read_as_in_testing(tmp_path):
    predictor, image = Predictor(network()), picture()
    grey, few = np.array(_rgb().convert('L')), _rgb().convert('P')
    cases = {
        'colour': (_save(tmp_path / 'a.png', _rgb()), image),
        'grey': (_save(tmp_path / 'b.png', _rgb().convert('L')), np.stack([grey] * 3, axis=-1)),
        'transparency': (_save(tmp_path / 'c.png', _rgb().convert('RGBA')), image),
        'palette': (_save(tmp_path / 'd.png', few), np.array(few.convert('RGB'))[..., ::-1])}
    cv2.imwrite(str(tmp_path / 'e.png'), image.astype(np.uint16) * 257)
    cases['16 bits'] = (tmp_path / 'e.png', image)
    for kind, (path, expected) in cases.items():
        read = predictor.reader.load(path).pixels
        assert read.dtype == np.uint8, kind
        assert np.array_equal(read, expected), kind


def test_jpegs_of_cameras_and_printers(tmp_path):
    smooth = Image.fromarray(np.arange(44 * 60, dtype=np.float32).reshape(44, 60) // 12).convert('RGB')
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    predictor = Predictor(network())
    turned = predictor.reader.load(_save(tmp_path / 'turned.jpg', smooth, exif=exif, quality=95)).pixels
    assert turned.shape == (60, 44, 3)
    assert predictor(turned).labels.shape == (60, 44)
    expected = np.rot90(np.array(smooth)[..., ::-1], k=-1)
    assert np.abs(turned.astype(int) - expected).mean() < 2
    printed = predictor.reader.load(_save(tmp_path / 'cmyk.jpg', smooth.convert('CMYK'), quality=95)).pixels
    assert np.abs(printed.astype(int) - np.array(smooth)[..., ::-1]).mean() < 4


@pytest.mark.parametrize(('suffix', 'cut'), [('.png', 100), ('.jpg', 300), ('.png', 10 ** 9)])
def test_damaged_images_are_named(tmp_path, suffix, cut):
    path = tmp_path / f'a{suffix}'
    mmcv.imwrite(picture(), str(path))
    path.write_bytes(path.read_bytes()[:-cut] if cut < 10 ** 9 else b'')
    with pytest.raises(UserError, match=re.escape(f'{path}: unreadable image: ')):
        Predictor(network()).reader.load(path)


def test_what_the_pipeline_cannot_load_is_named(tmp_path):
    net = network()
    net.cfg.test_dataloader.dataset.pipeline[0].imdecode_backend = 'nonsense'
    with pytest.raises(UserError, match=r'a.png: LoadImageFromFile of the test pipeline cannot load it: .*nonsense'):
        Predictor(net).reader.load(_save(tmp_path / 'a.png', _rgb()))


def test_another_number_of_channels(tmp_path):
    net = network()
    net.cfg.test_dataloader.dataset.pipeline[0].color_type = 'unchanged'
    predictor = Predictor(net)
    loaded = predictor.reader.load(_save(tmp_path / 'a.png', _rgb().convert('RGBA')))
    with pytest.raises(UserError, match='the image has 4 channels as it is loaded, and the network takes 3'):
        predictor(loaded)


@pytest.mark.parametrize(('steps', 'message'), [
    ([], 'must begin with a transform that loads an image, and begins with nothing'),
    ([dict(type='PackSegInputs')], 'and begins with PackSegInputs'),
    ([dict(type='LoadImageFromFiel')], 'LoadImageFromFiel in the pipeline of test_dataloader.dataset cannot be built'),
    ([dict(type='LoadImageFromFile'), dict(type='mmseg.TestTimeAug', transforms=[])], 'tta_pipeline')])
def test_pipelines_that_do_not_make_one_picture_of_a_file(steps, message):
    net = network()
    net.cfg.test_dataloader.dataset.pipeline = net.cfg.test_pipeline = steps
    with pytest.raises(UserError, match=message):
        Predictor(net)


def test_a_pipeline_of_its_own_is_enough():
    net = network()
    net.cfg = Config(dict(test_pipeline=net.cfg.test_pipeline))
    assert Predictor(net)(picture()).labels.shape == (44, 60)


def test_more_classes_than_colours():
    net = network()
    net.dataset_meta = dict(classes=['class'] * 257)
    with pytest.raises(UserError, match='257 classes'):
        Predictor(net)


def test_a_checkpoint_of_another_number_of_classes(files):
    with pytest.raises(UserError, match=r'weights.pth with .*config.py: .*\n.*conv_seg.bias \(5,\) instead of \(7,\)'):
        load_model(files / 'config.py', files / 'weights.pth', options={'model.decode_head.num_classes': 7})


def test_nothing_is_learned():
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    Predictor(net, probabilities=True)(picture())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
