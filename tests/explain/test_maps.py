import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmseg.models.decode_heads.decode_head import BaseDecodeHead

from mmseg_attn.explain import attention_maps, explain, influence_maps, look
from tests.explain.models import model, picture
from tests.explain.test_view import SLIDE


def test_attention_maps_are_the_heads():
    view = look(model(), picture())
    found = attention_maps(view, [(20, 10), (59, 43)])
    expected = view.head.attention_map(view.windows[0].features, torch.tensor([[1, 2], [5, 7]]))[0]
    torch.testing.assert_close(found.values, expected)
    assert found.kind == 'attention'
    assert found.points.tolist() == [[20, 10], [59, 43]]
    assert found.places[0].extent == pytest.approx((-0.5, 59.5, 43.5, -0.5))


def test_points_in_several_windows_keep_their_order():
    view = look(model(**SLIDE), picture())
    points = [(55, 40), (0, 0), (50, 2), (3, 3)]
    together = attention_maps(view, points)
    for i, point in enumerate(points):
        alone = attention_maps(view, [point])
        torch.testing.assert_close(together.values[i], alone.values[0])
        assert together.places[i] == alone.places[0] == view.window_of(*point).place(*alone.values.shape[1:])
    assert len({place.x.first for place in together.places}) == 2


def test_a_head_without_a_map_shows_its_influence(channel_head):
    view = look(model(channel_head), picture())
    with pytest.raises(NotImplementedError, match='channel attention'):
        attention_maps(view, [(5, 5)])
    assert explain(view, [(5, 5)]).kind == 'influence'


def test_a_head_of_mmseg_shows_its_influence():
    view = look(model(dict(type='FCNHead', num_convs=1, concat_input=False)), picture())
    assert isinstance(view.head, BaseDecodeHead)
    with pytest.raises(NotImplementedError, match='FCNHead has no attention_map'):
        attention_maps(view, [(5, 5)])
    found = explain(view, [(5, 5)])
    assert found.kind == 'influence'
    torch.testing.assert_close(found.values, influence_maps(view, [(5, 5)]).values)


def test_influence_on_demand():
    view = look(model(), picture())
    assert explain(view, [(5, 5)]).kind == 'attention'
    assert explain(view, [(5, 5)], influence=True).kind == 'influence'


@pytest.mark.parametrize('point', [(60, 0), (0, 44), (-1, 0)])
def test_a_point_outside_the_picture(point):
    with pytest.raises(ValueError, match='outside the picture of 60 x 44'):
        attention_maps(look(model(), picture()), [(1, 1), point])


def test_no_points():
    with pytest.raises(ValueError, match='no points'):
        attention_maps(look(model(), picture()), [])


def test_broken_weights_are_told():
    segmentor = model()
    segmentor.decode_head.in_conv.conv.weight.data.fill_(torch.nan)
    view = look(segmentor, picture())
    for maps in (attention_maps, influence_maps):
        with pytest.raises(ValueError, match='not finite'):
            maps(view, [(1, 1)])


@pytest.mark.parametrize('factor', [1, 2])
def test_a_map_lies_over_what_it_marks(factor):
    """A head that looks at bright places, and a picture with one bright square, which the test pipeline enlarges."""
    resize = dict(type='Resize', scale=(64 * factor, 48 * factor), keep_ratio=False)
    segmentor = model(test_pipeline=[dict(type='LoadImageFromFile'), resize, dict(type='PackSegInputs')])
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    image[16:24, 40:48] = 255
    view = look(segmentor, image)
    brightness = F.avg_pool2d(view.windows[0].inputs.mean(dim=1), 8)
    view.head.attention_map = lambda features, points: brightness[:, None].expand(-1, len(points), -1, -1)
    found = attention_maps(view, [(3, 3)])
    place, values = found.places[0], found.values[0]
    bright = values > (values.min() + values.max()) / 2
    rows, columns = (axis.centres()[bright.any(dim=i)] for axis, i in ((place.y, 1), (place.x, 0)))
    half = 8 / factor / 2
    assert (rows.min() - half, rows.max() + half) == pytest.approx((15.5, 23.5))
    assert (columns.min() - half, columns.max() + half) == pytest.approx((39.5, 47.5))


def test_what_comes_before_the_attention_is_computed_once():
    segmentor = model()
    in_conv, calls = segmentor.decode_head.in_conv, []
    view = look(segmentor, picture())
    handle = in_conv.register_forward_hook(lambda *_: calls.append(1))
    points = [(x, y) for x in range(0, 60, 9) for y in range(0, 44, 7)]
    attention_maps(view, points)
    handle.remove()
    assert len(calls) == 1
    assert segmentor.decode_head.in_conv is in_conv
