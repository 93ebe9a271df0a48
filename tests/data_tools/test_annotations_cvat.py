"""Reading "CVAT for images 1.1"."""

import numpy as np
import pytest

from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools.annotations.content import Ellipse
from mmseg_attn.data_tools.annotations.cvat import read_cvat
from mmseg_attn.data_tools.annotations.drawing import draw

from .annotated import HEIGHT, SIZE, WIDTH, cvat

POLYGON = '<polygon label="{}" source="manual" occluded="0" points="{}" z_order="{}"></polygon>'
BOX = '<box label="{}" occluded="0" xtl="1.00" ytl="2.00" xbr="6.00" ybr="7.00" z_order="{}"{}></box>'
MASK = '<mask label="dog" rle="{}" left="{}" top="2" width="4" height="3" z_order="0"></mask>'
EVERYWHERE = '0,0;13,0;13,9;0,9'


def _read(file):
    return read_cvat(file, file.parent / 'images')


def _drawn(read) -> np.ndarray:
    return draw(read.images[0].shapes, dict(cat=1, dog=2), SIZE, 0, 1, read.larger_first)[0]


def _box_of(value: int) -> np.ndarray:
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[2:7, 1:6] = value
    return expected


def test_shapes_and_classes_in_the_order_of_the_task(tmp_path):
    read = _read(cvat(tmp_path / 'a.xml', BOX.format('cat', 0, '')))
    assert (read.labels, read.larger_first, read.turned) == (['dog', 'cat'], False, True)
    assert [(image.name, image.size, len(image.shapes)) for image in read.images] == [('1', SIZE, 1), ('2', SIZE, 0)]
    np.testing.assert_array_equal(_drawn(read), _box_of(1))
    assert _read(cvat(tmp_path / 'a.xml', BOX.format('cat', 0, ''), meta='')).labels == ['cat']


@pytest.mark.parametrize(('orders', 'above'), [((0, 0), 2), ((1, 0), 1), ((-2, -10), 1), ((2, 10), 2)])
def test_the_order_is_z_order_and_then_that_of_the_file(tmp_path, orders, above):
    shapes = POLYGON.format('cat', EVERYWHERE, orders[0]) + POLYGON.format('dog', EVERYWHERE, orders[1])
    assert (_drawn(_read(cvat(tmp_path / 'a.xml', shapes))) == above).all()


def test_masks_run_along_the_rows_of_their_box(tmp_path):
    drawn = _drawn(_read(cvat(tmp_path / 'a.xml', MASK.format('1, 2, 1, 3, 5', 8))))
    np.testing.assert_array_equal(drawn[2:5, 8:12], [[0, 2, 2, 0], [2, 2, 2, 0], [0, 0, 0, 0]])
    assert (drawn > 0).sum() == 5


def test_ellipses_lines_and_turned_boxes(tmp_path):
    read = _read(cvat(tmp_path / 'a.xml', '<ellipse label="cat" cx="5" cy="4" rx="3" ry="2" rotation="30" z_order="0"/>'
                      '<polyline label="dog" points="1,1;5.5,5;9,1" z_order="0"/>' + BOX.format(
                          'cat', 0, ' rotation="90.00"') + BOX.format('cat', 0, ' rotation="45"')))
    ellipse, line, box, turned = (shape.outline for shape in read.images[0].shapes)
    assert ellipse == Ellipse((5, 4), (3, 2), 30)
    assert line.points.tolist() == [[1, 1], [5.5, 5], [9, 1]]
    np.testing.assert_allclose(box.parts[0], [[6, 2], [6, 7], [1, 7], [1, 2]])
    reach = 5 / 2 ** 0.5
    np.testing.assert_allclose(turned.parts[0], [[3.5, 4.5 - reach], [3.5 + reach, 4.5], [3.5, 4.5 + reach],
                                                 [3.5 - reach, 4.5]])


def test_what_has_no_area_is_told(tmp_path):
    read = _read(cvat(tmp_path / 'a.xml', '<points label="x" points="1,1"/><tag label="sunny"/>'
                      '<skeleton label="body"><points label="1" points="1,2"/></skeleton>' + BOX.format('cat', 0, '')))
    assert read.notes == ['points, tags and skeletons, left out because they have no area: 3']
    assert len(read.images[0].shapes) == 1


@pytest.mark.parametrize(('shapes', 'message'), [
    (POLYGON.format('cat', '1,2;3,4', 0), r"image '1.png': polygon 1 \('cat'\): at least 3 points are needed"),
    (POLYGON.format('cat', '1,2;3;4,5', 0), r'point 2 must be \[x, y\]'),
    (POLYGON.format('cat', '1,2;3,x;4,5', 0), "'x' is no number"),
    (POLYGON.format('cat', '1,2;3,nan;4,5', 0), 'nan is no number'),
    (POLYGON.format('cat', '1,2;3,-inf;4,5', 0), '-inf is farther away'),
    (POLYGON.format('cat', '1,2;3,1e9;4,5', 0), '1000000000.0 is farther away'),
    (POLYGON.format('cat', EVERYWHERE, 'top'), "'z_order': 'top' is no number"),
    (POLYGON.format('', EVERYWHERE, 0), "'label' must be the name of a class"),
    ('<polygon points="1,2"/>', "has no 'label', but 'points'"), ('<polygon label="cat"/>', "has no 'points'"),
    ('<cuboid label="cat"/>', 'a cuboid cannot be drawn; there are polygon, box, ellipse'),
    ('<box label="cat" xtl="1"/>', "has no 'ytl', but 'label', 'xtl'"),
    (MASK.format('12, x', 1), "'rle' must be whole numbers between commas, and is '12, x'"),
    (MASK.format('1, 2', 1), 'a mask of 4 x 3 pixels: their sum is 3'), (MASK.format('-1, 13', 1), 'from 0 to 12'),
    (MASK.format('12', '1.5'), "'left' must be a whole number, and is 1.5"),
    ('<mask label="cat" rle="0" left="0" top="0" width="0" height="1"/>', "'width' must be from 1")])
def test_shapes_that_cannot_be_drawn(tmp_path, shapes, message):
    with pytest.raises(UserError, match=message) as info:
        _read(cvat(tmp_path / 'a.xml', shapes))
    assert str(info.value).startswith(str(tmp_path / 'a.xml'))


@pytest.mark.parametrize(('more', 'message'), [
    (dict(name='../1.png'), 'lies outside of the folder'), (dict(name=''), 'is no name of a file'),
    (dict(size=(10**9, 9)), "'width': '1000000000' is|1000000000.0 is farther away"),
    (dict(size=('x', 9)), "'width': 'x' is no number"), (dict(size=(13, 0)), "'height' must be from 1")])
def test_images_that_cannot_be(tmp_path, more, message):
    with pytest.raises(UserError, match=message):
        _read(cvat(tmp_path / 'a.xml', '', **more))


BOMB = ('<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        '<annotations><version>&b;</version></annotations>')
OTHER_FILE = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotations>&a;</annotations>'


@pytest.mark.parametrize(('content', 'message'), [
    (BOMB, 'has a DOCTYPE, which CVAT does not write: do not trust it'), (OTHER_FILE, 'has a DOCTYPE'),
    ('<!DOCTYPE annotations><annotations/>', 'has a DOCTYPE'), ('', 'is damaged, or no XML: no element found'),
    ('<annotations><image>', 'is damaged, or no XML'), ('<a>&b;</a>', 'is damaged, or no XML: undefined entity'),
    ('<annotation/>', 'is not of CVAT, or has no images: export it'), ('<annotations/>', 'is not of CVAT, or has no'),
    ('<annotations><track id="0"/></annotations>', 'is "CVAT for video": export it from CVAT as "CVAT for images 1.1"'),
    ('<?xml version="1.0" encoding="none"?><annotations/>', 'is damaged, or no XML: unknown encoding'),
    ('<annotations><image id="0"/></annotations>', "an image has no 'name', but 'id'"),
    ('<annotations><image name="1.png"/></annotations>', "image '1.png' has no 'width', but 'name'")])
def test_files_that_are_not_of_cvat(tmp_path, content, message):
    file = tmp_path / 'a.xml'
    file.write_text(content)
    with pytest.raises(UserError, match=message) as info:
        read_cvat(file, tmp_path)
    assert str(info.value).startswith(str(file))


def test_elements_within_elements_without_end(tmp_path):
    (tmp_path / 'a.xml').write_text('<annotations><image name="1.png" width="1" height="1">' + '<a>' * 200_000)
    with pytest.raises(UserError, match='is damaged, or no XML'):
        read_cvat(tmp_path / 'a.xml', tmp_path)


def test_no_file_and_no_folder_of_images(tmp_path):
    with pytest.raises(UserError, match=r'--images .*missing is no folder'):
        read_cvat(cvat(tmp_path / 'a.xml', ''), tmp_path / 'missing')
    with pytest.raises(UserError, match=r'b.xml cannot be read: No such file'):
        read_cvat(tmp_path / 'b.xml', tmp_path)
