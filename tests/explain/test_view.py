import mmcv
import numpy as np
import pytest
import torch
from mmseg.apis import inference_model

from mmseg_attn.explain import look
from mmseg_attn.explain.view import _spans, scores
from tests.explain.models import model, picture

SLIDE = dict(model__test_cfg=dict(mode='slide', crop_size=(32, 40), stride=(20, 24)))
RESIZED = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(90, 60), keep_ratio=False),
           dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
PADDED = dict(model__data_preprocessor__type='mmseg_attn.AlignedSegDataPreProcessor')


@pytest.mark.parametrize('options', [{}, SLIDE, dict(test_pipeline=RESIZED), PADDED],
                         ids=['whole', 'slide', 'resized', 'padded'])
def test_the_prediction_is_mmsegs(options):
    segmentor, image = model(**options), picture()
    view = look(segmentor, image)
    assert torch.equal(view.labels, inference_model(segmentor, image).pred_sem_seg.data[0])
    assert view.labels.unique().numel() > 1
    assert np.array_equal(view.picture, image[..., ::-1])


def test_a_file_is_seen_as_the_array_in_it(tmp_path):
    segmentor, image = model(), picture()
    mmcv.imwrite(image, str(tmp_path / 'image.png'))
    from_file, from_array = look(segmentor, tmp_path / 'image.png'), look(segmentor, image)
    assert np.array_equal(from_file.picture, from_array.picture)
    assert torch.equal(from_file.labels, from_array.labels)


def test_windows_are_the_crops_of_sliding_inference(monkeypatch):
    segmentor, seen = model(**SLIDE), []
    encode_decode = type(segmentor).encode_decode

    def record(self, inputs, metas):
        seen.append(inputs)
        return encode_decode(self, inputs, metas)
    monkeypatch.setattr(type(segmentor), 'encode_decode', record)
    view = look(segmentor, picture())
    assert len(view.windows) == len(seen) == 4
    for window, crop in zip(view.windows, seen, strict=True):
        assert torch.equal(window.inputs, crop)


@pytest.mark.parametrize('options', [{}, SLIDE, dict(SLIDE, model__type='mmseg_attn.EncoderDecoder')],
                         ids=['whole', 'slide', 'several at once'])
def test_the_backbone_sees_every_window_once(options):
    segmentor, seen = model(**options), []
    if segmentor.test_cfg.mode == 'slide':
        segmentor.test_cfg.crops_per_batch = 3
    expected = [segmentor.extract_feat(window.inputs) for window in look(segmentor, picture()).windows]
    segmentor.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    view = look(segmentor, picture())
    assert sum(seen) == len(view.windows)
    for window, features in zip(view.windows, expected, strict=True):
        torch.testing.assert_close(window.features, list(features))


def test_a_point_belongs_to_the_window_around_it():
    view = look(model(**SLIDE), picture())
    columns = [window.x.axis(window.x.pixels) for window in view.windows]
    assert [(axis.first, axis.first + axis.step * (axis.cells - 1)) for axis in columns[:2]] == [(0, 39), (20, 59)]
    assert view.window_of(0, 0) is view.windows[0]
    assert view.window_of(29, 0) is view.windows[0]
    assert view.window_of(30, 43) is view.windows[3]


@pytest.mark.parametrize('options', [{}, SLIDE, PADDED], ids=['whole', 'slide', 'padded'])
def test_scores_of_the_windows_own_features(options):
    segmentor = model(**options)
    view = look(segmentor, picture())
    for window in view.windows:
        expected = segmentor.encode_decode(window.inputs, [dict(window.meta)])[0]
        torch.testing.assert_close(scores(view, window, window.features), expected)
        assert expected.shape[1:] == window.inputs.shape[2:]
    assert 'extract_feat' not in vars(segmentor)


def test_padding_on_all_sides_is_cut_off():
    inputs = torch.zeros(1, 3, 44 + 2 + 5, 60 + 3 + 1)
    meta = dict(ori_shape=(44, 60), img_padding_size=(3, 1, 2, 5))
    x, y = _spans(inputs[:, :, 10:, 20:], 20, 10, inputs, meta, align_corners=False)
    assert (x.axis(x.pixels).first, y.axis(y.pixels).first) == (17, 8)
    assert (x.axis(x.pixels).step, y.axis(y.pixels).step) == (1, 1)


def test_scores_train_no_weight():
    segmentor = model()
    view = look(segmentor, picture())
    features = [feature.requires_grad_() for feature in view.windows[0].features]
    scores(view, view.windows[0], features).sum().backward()
    assert features[-1].grad.abs().sum() > 0
    assert all(parameter.grad is None and parameter.requires_grad for parameter in segmentor.parameters())


def test_bad_input(tmp_path):
    segmentor = model()
    (tmp_path / 'text.jpg').write_text('no image')
    with pytest.raises(ValueError, match=r'text\.jpg: unreadable image'):
        look(segmentor, tmp_path / 'text.jpg')
    with pytest.raises(ValueError, match='there is no image'):
        look(segmentor, tmp_path / 'none.jpg')
    with pytest.raises(ValueError, match=r'got uint8 of shape \(44, 60\)'):
        look(segmentor, picture()[..., 0])
    with pytest.raises(ValueError, match='training mode'):
        look(segmentor.train(), picture())
    flipped = model(test_pipeline=[RESIZED[0], dict(type='RandomFlip', prob=1.0), RESIZED[-1]])
    with pytest.raises(ValueError, match='flips'):
        look(flipped, picture())
