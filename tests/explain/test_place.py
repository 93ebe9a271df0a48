import pytest
import torch
import torch.nn.functional as F

from mmseg_attn.explain.place import Axis, Place, Span


def _where_cells_land(span, cells):
    """For each pixel of the picture, the (fractional) cell that mmseg's way of resizing puts there."""
    numbers = torch.arange(cells, dtype=torch.float64)[None, None]
    logits = F.interpolate(numbers, span.pixels, mode='linear', align_corners=span.align_corners)
    kept = logits[..., -span.start:span.resized - span.start]
    return F.interpolate(kept, span.picture, mode='linear', align_corners=span.align_corners)[0, 0]


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize(('pixels', 'before', 'resized', 'picture', 'cells'), [
    (64, 0, 64, 64, 8), (65, 0, 60, 60, 9), (48, 3, 41, 97, 6), (120, 0, 120, 31, 15), (33, 0, 33, 33, 33)])
def test_cells_lie_where_logits_are_interpolated_to(align_corners, pixels, before, resized, picture, cells):
    span = Span(pixels, -before, resized, picture, align_corners)
    axis = span.axis(cells)
    landed = _where_cells_land(span, cells)
    expected = (torch.arange(picture).double() - axis.first) / axis.step
    # Beyond the outer cells, and within a step of the cut at the padding, interpolation repeats the last value.
    margin = 1 + int(max(picture / resized, 1) * 2)
    inside = (expected > 0) & (expected < cells - 1)
    inside[:margin] = inside[-margin:] = False
    assert inside.sum() > picture // 2
    torch.testing.assert_close(landed[inside], expected[inside])


def test_nearest_is_the_cell_whose_square_holds_the_point():
    axis = Axis(first=3.5, step=8.0, cells=5)
    assert axis.nearest(torch.tensor([-4.0, 7.4, 7.6, 35.5, 99.0])).tolist() == [0, 0, 1, 4, 4]
    assert axis.edges == (-0.5, 39.5)
    assert axis.nearest(axis.centres()).tolist() == [0, 1, 2, 3, 4]


def test_place_takes_x_y_and_gives_row_column():
    place = Place(Axis(0.0, 1.0, 10), Axis(0.0, 2.0, 5))
    assert place.nearest(torch.tensor([[7.0, 4.0]])).tolist() == [[2, 7]]
    assert place.extent == (-0.5, 9.5, 9.0, -1.0)


@pytest.mark.parametrize('align_corners', [False, True])
def test_one_cell_covers_everything(align_corners):
    axis = Span(7, 0, 7, 7, align_corners).axis(1)
    assert axis.edges == (-0.5, 6.5)
