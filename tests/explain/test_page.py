"""What a page holds, read without a browser."""

import re

import numpy as np
import pytest
import torch

from mmseg_attn.explain import attention_maps, influence_maps, look, write_page
from mmseg_attn.explain.grad_cam import ClassMap
from tests.explain.models import model, picture
from tests.explain.test_influence import FCN
from tests.explain.test_view import SLIDE
from tests.explain.unpacking import read_page


@pytest.fixture
def page_of(tmp_path):
    def write(*views, **settings):
        write_page(tmp_path / 'page.html', views, **settings)
        return tmp_path / 'page.html'
    return write


@pytest.mark.parametrize('options', [{}, SLIDE], ids=['whole', 'slide'])
def test_every_map_is_the_heads(page_of, options):
    view = look(model(**options), picture())
    head = read_page(page_of(view))['heads'][0]
    assert head['kind'] == 'attention'
    assert len(head['windows']) == len(view.windows)
    for i, (window, values) in enumerate(zip(view.windows, head['maps'], strict=True)):
        rows, columns = head['map']['rows'], head['map']['columns']
        assert (head['rows'], head['columns']) == (list(range(rows)), list(range(columns)))
        cells = torch.tensor([[row, column] for row in head['rows'] for column in head['columns']])
        expected = view.head.attention_map(window.features, cells)[0].reshape(values.shape).numpy()
        peaks = expected.max(axis=(2, 3), keepdims=True)
        assert (np.abs(values - expected) <= peaks / 510 * 1.001).all()
        place = window.place(rows, columns)
        assert head['windows'][i]['x'] == pytest.approx([place.x.first, place.x.step])
        assert head['windows'][i]['y'] == pytest.approx([place.y.first, place.y.step])


def test_influence_where_there_is_no_attention(page_of):
    views = [look(model(), picture()), look(model(FCN), picture())]
    path = page_of(*views, seconds=1000)
    page = read_page(path)
    assert [head['kind'] for head in page['heads']] == ['attention', 'influence']
    head = page['heads'][1]
    x, y = (first + step * cell for (first, step), cell in
            zip((head['windows'][0]['x'], head['windows'][0]['y']), (6, 2), strict=True))
    expected = influence_maps(views[1], [(x, y)]).values[0].numpy()
    found = head['maps'][0, head['rows'].index(2), head['columns'].index(6)]
    assert np.abs(found - expected).max() <= expected.max() / 510 * 1.001
    text = path.read_text()
    assert 'FCNHead defines no attention map of its own' in text
    assert 'NonLocal.attention_map' in text


def test_influence_on_demand_is_said(page_of):
    path = page_of(look(model(), picture()), influence=True)
    assert read_page(path)['heads'][0]['kind'] == 'influence'
    assert 'It was asked for.' in path.read_text()


def test_a_head_of_channel_attention_says_so(page_of, channel_head):
    path = page_of(look(model(channel_head), picture()))
    assert read_page(path)['heads'][0]['kind'] == 'influence'
    assert 'ChannelHead defines no attention map of its own' in path.read_text()


def test_the_prediction(page_of):
    view = look(model(), picture())
    head = read_page(page_of(view))['heads'][0]
    assert np.array_equal(head['label_map'], view.labels.numpy())
    assert head['classes'] == view.classes


def test_large_pictures_are_shrunk_with_their_labels(page_of, monkeypatch):
    monkeypatch.setattr('mmseg_attn.explain.page.MAX_SIDE', 30)
    view = look(model(), picture())
    page = read_page(page_of(view))
    assert (page['width'], page['height']) == (60, 44)
    assert page['heads'][0]['label_map'].shape == (22, 30)
    assert np.array_equal(page['heads'][0]['label_map'], view.labels.numpy()[1::2, 1::2])


def test_fewer_points_where_the_page_is_small(page_of):
    view = look(model(), picture(400, 400))
    view.head.attention_map = lambda features, points: torch.rand(1, len(points), 50, 50)
    path = page_of(view, max_bytes=600_000)
    head = read_page(path)['heads'][0]
    count = len(head['rows']) * len(head['columns'])
    assert path.stat().st_size <= 600_000
    assert 20 < count < 2500
    distances = [8 * (head[side][1] - head[side][0]) for side in ('columns', 'rows')]
    assert f'one map for {distances[0]} x {distances[1]} pixels' in path.read_text()


def test_a_page_that_is_too_small(page_of, tmp_path):
    with pytest.raises(ValueError, match='do not fit'):
        page_of(look(model(), picture()), max_bytes=105_000)
    assert not list(tmp_path.iterdir())


def test_nothing_is_loaded_from_elsewhere(page_of):
    text = page_of(look(model(), picture())).read_text()
    assert "default-src 'none'" in text
    assert not re.search(r'https?:|//[a-z]+\.|@import|url\(|\bfetch\(|XMLHttpRequest|<link|src="(?!data:)', text)


def test_names_are_text_and_not_html(page_of):
    segmentor = model()
    segmentor.dataset_meta['classes'][0] = '</script><b>class</b>'
    text = page_of(look(segmentor, picture(), name='<i>head</i>'), title='<u>$name</u>.png').read_text()
    assert not re.search('<[biu]>', text)
    assert '&lt;u&gt;$name&lt;/u&gt;.png' in text
    assert text.count('</script>') == text.count('<script')


def test_a_class_map(page_of):
    view = look(model(), picture())
    values = torch.rand(6, 8)
    maps = [ClassMap(1, (4, 5, 20, 30), values / values.max(), view.windows[0].place(6, 8))]
    path = page_of(view, class_maps=maps)
    cam = read_page(path)['heads'][0]['cam']
    assert cam['region'] == [4, 5, 20, 30]
    assert (cam['rows'], cam['columns']) == (6, 8)
    assert 'Grad-CAM: what speaks for class 1 in the region' in path.read_text()


def test_a_class_that_is_predicted_nowhere(page_of):
    path = page_of(look(model(), picture()), class_maps=[ClassMap(1, None, None, None)])
    assert 'No pixel is predicted to be class 1.' in path.read_text()


def test_views_of_different_pictures(page_of):
    with pytest.raises(ValueError, match='different pictures'):
        page_of(look(model(), picture()), look(model(), picture(seed=1)))


def test_a_failed_page_leaves_the_old_one(page_of, tmp_path, monkeypatch):
    path = page_of(look(model(), picture()))
    before = path.read_text()
    monkeypatch.setattr('os.replace', lambda *names: (_ for _ in ()).throw(OSError('disk full')))
    with pytest.raises(ValueError, match='disk full'):
        page_of(look(model(), picture(seed=1)))
    assert path.read_text() == before


def test_points_of_the_page_are_those_of_the_api(page_of):
    view = look(model(), picture())
    head = read_page(page_of(view))['heads'][0]
    (x, width), (y, height) = head['windows'][0]['x'], head['windows'][0]['y']
    found = attention_maps(view, [(x + 3 * width, y + 2 * height)]).values[0]
    np.testing.assert_allclose(head['maps'][0, 2, 3], found, atol=float(found.max()) / 500)
