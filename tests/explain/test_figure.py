import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_attn.explain import attention_maps, draw_class_maps, draw_figure, figure, look
from mmseg_attn.explain.grad_cam import ClassMap
from tests.explain.models import model, picture
from tests.explain.test_influence import FCN
from tests.explain.test_view import SLIDE


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(figure, 'DPI', 60)


def _size(path):
    with Image.open(path) as image:
        return image.size


def test_a_row_for_each_point_and_a_column_for_each_head(tmp_path):
    views = [look(model(), picture(), name='A'), look(model(FCN), picture(), name='B')]
    sizes = {}
    for rows in (1, 3):
        draw_figure(tmp_path / 'figure.png', views, [(10 * i, 5 * i) for i in range(rows)])
        sizes[rows] = _size(tmp_path / 'figure.png')
    draw_figure(tmp_path / 'one.png', views[:1], [(0, 0)])
    assert sizes[3][1] > 2.5 * sizes[1][1]
    assert 1.7 < sizes[1][0] / _size(tmp_path / 'one.png')[0] < 2.3
    assert [path.name for path in sorted(tmp_path.iterdir())] == ['figure.png', 'one.png']


@pytest.mark.parametrize('options', [{}, SLIDE], ids=['whole', 'slide'])
def test_maps_and_marks_are_drawn_where_they_lie(options):
    view, points = look(model(**options), picture()), [(45, 30), (3, 4)]
    found = attention_maps(view, points)
    panels = [axes for axes in figure._figure([view], points, False, 'gray', 0.5).axes if len(axes.images) == 2]
    for i, panel in enumerate(panels):
        photograph, values = panel.images
        assert photograph.get_extent() == pytest.approx((-0.5, 59.5, 43.5, -0.5))
        assert values.get_extent() == pytest.approx(found.places[i].extent)
        np.testing.assert_allclose(values.get_array(), found.values[i], rtol=1e-6)
        assert (*panel.get_xlim(), *panel.get_ylim()) == (-0.5, 59.5, 43.5, -0.5)
        assert [line.get_xydata().tolist() for line in panel.lines] == [[list(points[i])]] * 2
        assert panel.get_xlabel().endswith(view.classes[view.label_at(*points[i])])
    assert len(panels) == 2


def test_bad_input_writes_nothing(tmp_path):
    view = look(model(), picture())
    with pytest.raises(ValueError, match='outside the picture'):
        draw_figure(tmp_path / 'figure.png', [view], [(60, 0)])
    with pytest.raises(ValueError, match='not a colour map'):
        draw_figure(tmp_path / 'figure.png', [view], [(1, 0)], colours='pink-elephant')
    assert not list(tmp_path.iterdir())


def test_class_maps(tmp_path):
    view = look(model(), picture())
    maps = [ClassMap(1, (4, 5, 20, 30), torch.rand(6, 8), view.windows[0].place(6, 8)), ClassMap(2, None, None, None)]
    draw_class_maps(tmp_path / 'cam.png', [view, view], maps)
    assert _size(tmp_path / 'cam.png')[0] > 300
