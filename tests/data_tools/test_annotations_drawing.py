"""Shapes become pixels by one rule, that of the centres."""

import io
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools.annotations.content import Bitmap, Ellipse, Line, Polygons, Runs, Shape
from mmseg_attn.data_tools.annotations.drawing import draw, region_of

SIZE = WIDTH, HEIGHT = 11, 7


def _drawn(outline, size=SIZE, line_width=1.0) -> np.ndarray:
    region = region_of(Shape('a', outline, 'here'), size, line_width)
    out = np.zeros(size[::-1], bool)
    height, width = region.inside.shape
    out[region.top:region.top + height, region.left:region.left + width] = region.inside
    assert region.area == out.sum()
    return out


def inside_polygon(points: list[tuple[int, int]], size=SIZE, unit: int = 8) -> np.ndarray:
    """Whether the centres are inside, in whole numbers and so exact: points are in ``unit`` parts of a pixel."""
    out = np.zeros(size[::-1], bool)
    for row in range(size[1]):
        for column in range(size[0]):
            x, y = column * unit + unit // 2, row * unit + unit // 2
            for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
                if (y0 <= y) != (y1 <= y):
                    # Positive where the centre is right of the edge that goes down.
                    side = ((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) * (1 if y1 > y0 else -1)
                    out[row, column] ^= side >= 0
    return out


# In eighths of a pixel, with corners on centres and borders of pixels, and outside of the image.
COORDINATES = st.one_of(st.integers(-40, 140), st.integers(-5, 25).map(lambda n: 4 * n))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(COORDINATES, COORDINATES), min_size=3, max_size=9))
def test_polygons(points):
    np.testing.assert_array_equal(_drawn(Polygons((np.array(points) / 8, ))), inside_polygon(points))


def test_a_polygon_far_beyond_the_image():
    points = [(-10**6, -10**6), (10**6, -10**6), (10**6, 10**6), (-10**6, 10**6)]
    assert _drawn(Polygons((np.array(points, float), ))).all()
    assert not _drawn(Polygons((np.array(points) + np.array([3e6, 0]), ))).any()


@pytest.mark.parametrize('seed', range(5))
def test_neighbours_leave_no_pixel_out_and_share_none(seed):
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(-1, 7) * 6.0, np.arange(-1, 6) * 6.0), axis=-1) + random.uniform(
        -2, 2, (7, 8, 2))
    if seed == 0:
        grid = grid.round()
    times = np.zeros((20, 25), int)
    for row in range(6):
        for column in range(7):
            corners = [grid[row, column], grid[row, column + 1], grid[row + 1, column + 1], grid[row + 1, column]]
            for triangle in ((0, 1, 2), (2, 0, 3)):
                times += _drawn(Polygons((np.array([corners[i] for i in triangle]), )), (25, 20))
    assert (times == 1).all()


def test_parts_are_one_object():
    one, other = (np.array([(a, 1), (a + 4, 1), (a + 4, 5), (a, 5)], float) for a in (1, 3))
    drawn = _drawn(Polygons((one, other)))
    assert drawn[1:5, 1:7].all()
    assert drawn.sum() == 24


def test_what_is_enclosed_twice_is_outside():
    points = [(0, 0), (10, 0), (10, 6), (0, 6), (0, 0), (2, 2), (6, 2), (6, 4), (2, 4), (2, 2)]
    drawn = _drawn(Polygons((np.array(points, float), )))
    assert not drawn[2:4, 2:6].any()
    assert drawn.sum() == 60 - 8


CENTRES = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), axis=-1)


@pytest.mark.parametrize(('centre', 'radii', 'degrees'), [
    ((4.5, 3.5), (3, 3), 0), ((-1, 2), (4.2, 4.2), 0), ((5, 3), (4, 2), 0), ((5, 3), (4, 1.5), 30), ((5, 3), (0, 3), 0),
    ((5, 3), (1e5, 1e6), 77)])
def test_ellipses(centre, radii, degrees):
    turn = np.exp(-1j * np.radians(degrees))
    at = ((CENTRES[..., 0] - centre[0]) + 1j * (CENTRES[..., 1] - centre[1])) * turn
    with np.errstate(divide='ignore', invalid='ignore'):
        expected = (at.real / radii[0]) ** 2 + (at.imag / radii[1]) ** 2 <= 1
    np.testing.assert_array_equal(_drawn(Ellipse(centre, radii, degrees)), expected)


@pytest.mark.parametrize('width', [1, 2.6, 10])
@pytest.mark.parametrize('points', [
    [(1.2, 3.1), (8.4, 3.3)], [(1, 1), (9, 6), (2, 5)], [(4, 4), (4, 4)], [(-20, -9), (30, 12)], [(50, 50), (60, 60)],
    [(3, -1e6), (3, 1e6)]])
def test_lines(points, width):
    expected = np.zeros(SIZE[::-1], bool)
    for start, end in pairwise(points):
        # The distance to many points of the segment.
        near = np.array(start) + np.linspace(0, 1, 40001)[:, None] * np.subtract(end, start)
        near = near[np.abs(near - [5, 3]).max(axis=1) < 40] if np.abs(near).max() < 1e5 else np.array(
            [(3, y) for y in np.linspace(-20, 20, 20001)])
        for row, column in np.ndindex(expected.shape):
            if len(near):
                distance = np.hypot(*(near - CENTRES[row, column]).T).min()
                expected[row, column] |= distance <= width / 2
    np.testing.assert_array_equal(_drawn(Line(np.array(points, float)), line_width=width), expected)


def test_runs_go_down_or_along():
    counts = np.array([0, 1, 2, 3])
    np.testing.assert_array_equal(_drawn(Runs(counts, (4, 1, 3, 2), False))[1:3, 4:7], [[1, 0, 0], [1, 1, 1]])
    np.testing.assert_array_equal(_drawn(Runs(counts, (4, 1, 3, 2), True))[1:3, 4:7], [[1, 0, 1], [0, 1, 1]])
    assert _drawn(Runs(counts, (4, 1, 3, 2), True)).sum() == 4


@pytest.mark.parametrize('length', [3.6e-265, 5e-324, 1e-160])
def test_lengths_of_nearly_0(length):
    assert not _drawn(Ellipse((3.2, 4.2), (length, length))).any()
    dot = _drawn(Line(np.array([[3.5, 4.5], [3.5 + length, 4.5], [0.0, 0.0], [length, length]])))
    np.testing.assert_array_equal(dot, _drawn(Line(np.array([[3.5, 4.5], [3.5, 4.5], [0.0, 0.0], [0.0, 0.0]]))))


def _png(array) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.array(array, np.uint8)).save(out, 'PNG')
    return out.getvalue()


def test_bitmaps():
    mask = [[0, 1, 0], [255, 0, 7]]
    np.testing.assert_array_equal(_drawn(Bitmap(_png(mask), (2, 5, 3, 2)))[5:, 2:5], np.array(mask, bool))


@pytest.mark.parametrize(('outline', 'message'), [
    (Runs(np.array([10**18]), (0, 0, 10**9, 10**9), True),
     '1000000000 x 1000000000 pixels at column 0, row 0 does not'),
    (Runs(np.array([6]), (9, 0, 3, 2), True), 'does not lie in the image of 11 x 7'),
    (Bitmap(b'', (-1, 0, 3, 2)), 'at column -1'),
    (Bitmap(_png([[1]]), (0, 0, 3, 2)), 'the mask has 1 x 1 pixels, and its two points are those of 3 x 2'),
    (Bitmap(b'x', (0, 0, 3, 2)), 'no picture that can be read'),
    (Bitmap(_png(np.eye(9))[:60], (0, 0, 9, 9)), 'does not lie in'),
    (Bitmap(_png(np.eye(5))[:50], (0, 0, 5, 5)), 'no picture that can be read')])
def test_masks_that_do_not_fit(outline, message):
    with pytest.raises(UserError, match=f'^here: .*{message}'):
        _drawn(outline)


def _box(label: str, left: float, right: float) -> Shape:
    return Shape(label, Polygons((np.array([(left, 0), (right, 0), (right, 7), (left, 7)], float), )), 'here')


def test_later_shapes_lie_above_earlier_ones_or_small_above_large():
    shapes = _box('a', 2, 4), _box('b', 0, 8), _box('c', 9.6, 10.4)
    numbers = dict(a=1, b=2, c=3)
    label, without_pixels = draw(shapes, numbers, SIZE, 255, 1, larger_first=False)
    assert label[3].tolist() == [2] * 8 + [255] * 3
    assert without_pixels == 1
    label, _ = draw(shapes, numbers, SIZE, 0, 1, larger_first=True)
    assert label[3].tolist() == [2, 2, 1, 1, 2, 2, 2, 2, 0, 0, 0]
    assert (label.dtype, label.shape) == (np.uint8, (7, 11))
