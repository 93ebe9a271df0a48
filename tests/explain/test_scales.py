"""What a page tells of a model at several scales."""

import numpy as np
import pytest
import torch

from mmseg_attn.explain import attention_maps, influence_maps, look, write_page
from mmseg_attn.explain.scales import scales_of
from mmseg_attn.explain.view import scores
from tests.explain.models import MULTI_SCALE, SIZE, float64, model, picture
from tests.explain.test_influence import FCN
from tests.explain.test_view import PADDED, RESIZED, SLIDE
from tests.explain.unpacking import read_page


def _weights(segmentor, image):
    """By the network itself, of an image that the pipeline leaves as it is."""
    inputs = segmentor.data_preprocessor(dict(inputs=[torch.from_numpy(image).permute(2, 0, 1)]), False)['inputs']
    return segmentor.scale_weights(inputs)[0]


@pytest.mark.parametrize('options', [{}, SLIDE, dict(model__fusion='softmax', model__test_scales=None)],
                         ids=['whole', 'slide', 'softmax'])
def test_the_page_has_the_weights_of_every_pixel(options, tmp_path):
    segmentor, image = model(**MULTI_SCALE | options), picture()
    view = look(segmentor, image)
    expected = _weights(segmentor, image)
    assert expected.std(dim=(1, 2)).min() > 0
    torch.testing.assert_close(view.scale_weights, expected)
    write_page(tmp_path / 'page.html', [view])
    head, = read_page(tmp_path / 'page.html')['heads']
    assert head['scales']['names'] == [f'{scale:g}' for scale in segmentor.test_scales]
    assert len({tuple(colour) for colour in head['scales']['colours']}) == len(segmentor.test_scales)
    assert (head['scales']['x'], head['scales']['y']) == ([0, 1], [0, 1])
    np.testing.assert_allclose(head['scale_weights'], expected, atol=1 / 509)
    text = (tmp_path / 'page.html').read_text()
    assert ('softmax over the scales' if 'model__fusion' in options else 'along the hierarchy') in text


@pytest.mark.parametrize('options', [dict(test_pipeline=RESIZED), PADDED], ids=['resized', 'padded'])
def test_weights_lie_on_the_picture(options):
    view = look(model(**MULTI_SCALE | options), picture())
    assert view.scale_weights.shape == (3, *SIZE)
    torch.testing.assert_close(view.scale_weights.sum(dim=0), torch.ones(SIZE))


def test_large_pictures_have_fewer_cells(monkeypatch):
    monkeypatch.setattr('mmseg_attn.explain.scales.MAX_CELLS', 30)
    view = look(model(**MULTI_SCALE), picture())
    found = scales_of(view)
    assert (found.place.y.cells, found.place.x.cells) == (22, 30)
    assert found.place.extent == pytest.approx((-0.5, 59.5, 43.5, -0.5))
    assert (found.place.x.first, found.place.x.step) == (0.5, 2)


def test_a_model_of_one_scale_has_none(tmp_path):
    view = look(model(), picture())
    assert view.scale_weights is None
    write_page(tmp_path / 'page.html', [view])
    assert read_page(tmp_path / 'page.html')['heads'][0]['scales'] is None
    assert 'Which scale decides' not in (tmp_path / 'page.html').read_text().split('<script')[0]


def test_the_attention_map_is_that_of_scale_1():
    segmentor = model(**MULTI_SCALE)
    view = look(segmentor, picture())
    window, = view.windows
    expected = segmentor.decode_head.attention_map(segmentor.extract_feat(window.inputs), torch.tensor([[2, 3]]))
    torch.testing.assert_close(attention_maps(view, [(27.5, 19.5)]).values[0], expected[0, 0])


@pytest.mark.parametrize('options', [{}, SLIDE], ids=['whole', 'slide'])
def test_the_influence_is_that_of_the_features_at_scale_1(options):
    segmentor = float64(model(FCN, **MULTI_SCALE | options))
    view, point = look(segmentor, picture()), (27.5, 19.5)
    window = view.window_of(*point)
    torch.testing.assert_close(scores(view, window, window.features),
                               segmentor.encode_decode(window.inputs, [dict(window.meta)])[0])
    values = influence_maps(view, [point]).values[0]
    row, column = divmod(int(values.argmax()), values.shape[1])
    moved = [feature.clone() for feature in window.features]
    label = view.label_at(*point)
    at = label, window.y.nearest(point[1]), window.x.nearest(point[0])
    before = scores(view, window, moved)[at]
    direction = torch.randn(moved[0].shape[1], dtype=torch.float64)
    moved[0][0, :, row, column] += 1e-6 * direction / direction.norm()
    assert 0 < (scores(view, window, moved)[at] - before).abs() / 1e-6 <= values.max() * 1.001
