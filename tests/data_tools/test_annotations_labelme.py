"""Reading the files of labelme."""

import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools.annotations.content import Ellipse, Line
from mmseg_attn.data_tools.annotations.drawing import draw
from mmseg_attn.data_tools.annotations.labelme import read_labelme

from .annotated import HEIGHT, SIZE, WIDTH, base64_of, labelme, labelme_folder, shape, write_image

NO_IMAGE = dict(imageHeight=None, imageWidth=None)


def _drawn(image, fill: int = 0) -> np.ndarray:
    numbers = {label: number for number, label in enumerate(sorted({s.label for s in image.shapes}), start=1)}
    return draw(image.shapes, numbers, SIZE, fill, 2, larger_first=False)[0]


def _read(folder, images=None):
    return read_labelme(folder, images, 1)


def test_a_folder(tmp_path):
    read = _read(labelme_folder(tmp_path, 3))
    assert [image.name for image in read.images] == ['0', '1', '2']
    assert (read.labels, read.notes, read.larger_first, read.turned) == (['cat', 'dog'], [], False, True)
    assert (read.images[1].source, read.images[1].size) == (tmp_path / '1.png', SIZE)
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[2:7, 1:6] = 1
    np.testing.assert_array_equal(_drawn(read.images[0]), expected)
    expected[1:8, 3:9] = 2  # later, and so above
    np.testing.assert_array_equal(_drawn(read.images[1]), expected)


def test_several_processes_read_the_same(tmp_path):
    folder = labelme_folder(tmp_path)
    one, two = (read_labelme(folder, None, nproc) for nproc in (1, 2))
    assert [repr(image) for image in one.images] == [repr(image) for image in two.images]


def test_all_kinds_of_shapes(tmp_path):
    write_image(tmp_path / 'a.png')
    mask = io.BytesIO()
    Image.fromarray(np.array([[0, 1, 1], [1, 0, 255]], np.uint8)).save(mask, 'PNG')
    (tmp_path / 'mask').write_bytes(mask.getvalue())
    labelme(tmp_path / 'a.json', [
        shape('p', 'polygon', (0, 0), (4, 0), (4, 4)), shape('r', 'rectangle', (8, 6), (6, 2)),
        shape('q', 'oriented_rectangle', (0, 5), (2, 5), (2, 8), (0, 8)), shape('c', 'circle', (5, 5), (8, 9)),
        shape('l', 'line', (1, 1), (5, 5)), shape('s', 'linestrip', (1, 1), (5, 5), (9, 1)),
        shape('m', 'mask', (10, 1), (12, 2), mask=base64_of(tmp_path / 'mask')), shape('point', 'point', (1, 1)),
        shape('old', None, (0, 0), (4, 0), (4, 4))])
    read = _read(tmp_path)
    assert read.labels == ['c', 'l', 'm', 'old', 'p', 'q', 'r', 's']
    assert read.notes == ['points, left out because they have no area: 1']
    outlines = {one.label: one.outline for one in read.images[0].shapes}
    assert outlines['c'] == Ellipse((5, 5), (5, 5))
    assert isinstance(outlines['l'], Line)
    assert outlines['s'].points.tolist() == [[1, 1], [5, 5], [9, 1]]
    assert outlines['r'].parts[0].tolist() == [[6, 2], [8, 2], [8, 6], [6, 6]]
    np.testing.assert_array_equal(_drawn(read.images[0])[1:3, 10:] == 3, [[0, 1, 1], [1, 0, 1]])


def test_where_the_image_is(tmp_path):
    folder = tmp_path / 'labels'
    write_image(tmp_path / 'elsewhere' / 'a.png', 1)
    write_image(folder / 'pictures' / 'b ö.png', 2)
    labelme(folder / 'json' / 'b ö.json', [], imagePath='..\\pictures\\b ö.png')
    assert _read(folder).images[0].source == folder / 'pictures' / 'b ö.png'
    assert _read(folder).images[0].name == 'json/b ö'
    labelme(folder / 'json' / 'b ö.json', [], imagePath='C:\\me\\a.png')
    assert _read(folder, tmp_path / 'elsewhere').images[0].source == tmp_path / 'elsewhere' / 'a.png'
    for name in ('..\\..\\elsewhere\\a.png', 'C:\\me\\a.png', 'missing.png'):
        file = labelme(folder / 'json' / 'b ö.json', [], imagePath=name,
                       imageData=base64_of(tmp_path / 'elsewhere' / 'a.png'))
        image, = _read(folder).images
        assert (image.source, image.suffix, image.embedded) == (file, '.png', True)


@pytest.mark.skipif(sys.platform == 'win32', reason='names have no colons')
def test_a_colon_in_a_name_is_no_drive(tmp_path):
    write_image(tmp_path / '2026-01-01T12:30.png')
    labelme(tmp_path / '2026-01-01T12:30.json', [])
    assert _read(tmp_path).images[0].name == '2026-01-01T12:30'


def test_accents_of_another_encoding(tmp_path):
    write_image(tmp_path / 'o\u0308.png')
    labelme(tmp_path / 'a.json', [], imagePath='\xf6.png')
    assert _read(tmp_path).images[0].source == tmp_path / 'o\u0308.png'


def test_images_without_a_file_are_told_and_hidden_files_passed_over(tmp_path):
    labelme_folder(tmp_path, 2)
    write_image(tmp_path / 'new.png')
    for name in ('._0.json', '.ipynb_checkpoints/0.json'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'\0\5')
    read = _read(tmp_path)
    assert len(read.images) == 2
    assert read.notes == [f'images without a JSON file, left out: 1, such as {tmp_path / "new.png"}. Save '
                          'those without any object in labelme too']


NAN = float('nan')
TRIANGLE = [(0, 0), (4, 0), (4, 4)]


@pytest.mark.parametrize(('shapes', 'message'), [
    ([shape('a', 'polygon', (0, 0), (4, 0))], r"shape 1 \('a'\): at least 3 points are needed, and there are 2"),
    ([shape('a', 'circle', *TRIANGLE)], '2 points are needed, and there are 3'),
    ([shape('a', 'rectangle', (0, 0))], '2 to 4 points are needed, and there are 1'),
    ([shape('a', 'linestrip', (0, 0))], 'at least 2 points are needed, and there are 1'),
    ([shape('a', 'polygon', *TRIANGLE, (1, ))], r'point 4 must be \[x, y\], and is \[1\]'),
    ([shape('a', 'polygon', *TRIANGLE, ('1', 2))], "point 4: '1' is no number"),
    ([shape('a', 'polygon', *TRIANGLE, (True, 2))], 'point 4: True is no number'),
    ([shape('a', 'polygon', *TRIANGLE, (None, 2))], 'point 4: None is no number'),
    ([shape('a', 'polygon', *TRIANGLE, (2, NAN))], 'is damaged, or no JSON: NaN is no number of JSON'),
    ([shape('a', 'polygon', *TRIANGLE, (2, -float('inf')))], '-Infinity is no number of JSON'),
    ([shape('a', 'polygon', *TRIANGLE, (1e300, 2))], r'point 4: 1e\+300 is farther away than 1,000,000 pixels'),
    ([shape('a', 'polygon', *TRIANGLE, (10**400, 2))], 'a number of very many digits is farther away'),
    ([shape('a', 'heart', *TRIANGLE)], "the shape_type 'heart' is unknown; there are polygon, rectangle"),
    ([shape('a', ['x'], *TRIANGLE)], r"the shape_type \['x'\] is unknown"),
    ([shape('', 'polygon', *TRIANGLE)], "shape 1: 'label' must be the name of a class, and is ''"),
    ([shape('a\nb', 'polygon', *TRIANGLE)], r"must be the name of a class, and is 'a\\nb'"),
    ([shape('\ud800', 'polygon', *TRIANGLE)], r"must be the name of a class, and is '\\ud800'"),
    ([shape(3, 'polygon', *TRIANGLE)], "shape 1: 'label' must be a text, and is 3"),
    ([dict(label='a')], "shape 1 \\('a'\\) has no 'points', but 'label'"),
    ([7], r'shape 1 must be an object \{...\}, and is 7'),
    (7, r"'shapes' must be a list \[...\], and is 7"),
    (..., "is no annotation of labelme, for it has no 'shapes'"),
    ([shape('a', 'mask', (0, 0), (1, 1))], "'mask' must be a text, and is None"),
    ([shape('a', 'mask', (0, 0), (1, 1), mask='é')], "'mask' is damaged, or not in base64")])
def test_shapes_that_cannot_be_drawn(tmp_path, shapes, message):
    write_image(tmp_path / 'a.png')
    labelme(tmp_path / 'a.json', shapes)
    with pytest.raises(UserError, match=f'a.json.*{message}') as info:
        _read(tmp_path)
    assert str(info.value).startswith(str(tmp_path / 'a.json'))
    assert len(str(info.value)) < 400 + len(str(tmp_path))


@pytest.mark.parametrize(('more', 'message'), [
    (dict(imagePath='b.png'), r'its image .*b.png does not exist, and there is no imageData'),
    (dict(imagePath='a.jpg'), r'its image .*a.jpg does not exist; there is a.png, and there is no imageData'),
    (dict(imagePath='\ud800.png'), r"'\\ud800.png' is no name of a file"),
    (dict(imagePath='../a.png'), r"'imagePath' \(--images DIR says where the images are\): '../a.png' lies outside"),
    (dict(imagePath='/etc/passwd'), "'/etc/passwd' lies outside"),
    (dict(imagePath='C:\\a.png'), "'C:/a.png' lies outside"),
    (dict(imagePath='a\0.png'), 'is no name of a file'),
    (dict(imagePath='ä' * 130 + '.png'), r'ä\.\.\. is too long for the name of a file'),
    (dict(imagePath='a/' * 500 + 'a.png'), 'is too long for the name of a file'),
    (dict(imagePath='.a.png'), 'begins with a dot'),
    (dict(imagePath=''), 'is no name of a file|begins with a dot'),
    (dict(imagePath=7), "'imagePath' must be a text, and is 7"),
    (dict(imagePath=...), "has no 'imagePath', but 'version', 'flags'"),
    (dict(imagePath='b.png', imageData='####'), "'imageData' is damaged, or not in base64"),
    (dict(imagePath='b.png', imageData='AAAA'), "'imageData' is no picture in JPEG, PNG"),
    (dict(imagePath='b.png', imageData=['AAAA']), "'imageData' must be a text"),
    (dict(imageWidth=10**9), "'imageWidth' must be from 1 to 1,048,576 pixels, and is 1000000000"),
    (dict(imageWidth=0), "'imageWidth' must be from 1"),
    (dict(imageHeight=True), 'must be a whole number, and is True'),
    (dict(imageHeight='9'), "'imageHeight' must be a whole number, and is '9'")])
def test_images_that_cannot_be_found(tmp_path, more, message):
    write_image(tmp_path / 'labels' / 'a.png')
    write_image(tmp_path / 'a.png')
    file = labelme(tmp_path / 'labels' / 'a.json', [], **more)
    with pytest.raises(UserError, match=message) as info:
        _read(tmp_path / 'labels')
    assert str(info.value).startswith(str(file))


@pytest.mark.parametrize(('content', 'message'), [
    (b'', 'is damaged, or no JSON: Expecting value'), (b'{"shapes": [', 'is damaged, or no JSON'),
    (b'[' * 100_000, 'brackets within brackets without end'), (b'[1]', r'must be an object \{...\}, and is \[1\]'),
    ('{"a": "ü"}'.encode('latin-1'), r'is not in UTF-8 \(byte 7\)'), (b'{"a": 1' + b'0' * 5000 + b'}', 'is damaged')])
def test_files_that_are_no_json(tmp_path, content, message):
    (tmp_path / 'a.json').write_bytes(content)
    with pytest.raises(UserError, match=f'a.json.* {message}'):
        _read(tmp_path)


def test_a_byte_order_mark(tmp_path):
    write_image(tmp_path / 'a.png')
    file = labelme(tmp_path / 'a.json', [])
    file.write_bytes(b'\xef\xbb\xbf' + file.read_bytes())
    assert len(_read(tmp_path).images) == 1


def test_sizes_may_be_left_out(tmp_path):
    write_image(tmp_path / 'a.png')
    for more in (NO_IMAGE, dict.fromkeys(NO_IMAGE, ...)):
        labelme(tmp_path / 'a.json', [], **more)
        assert _read(tmp_path).images[0].size is None


def test_folders_that_are_none(tmp_path):
    (tmp_path / 'empty').mkdir()
    labelme(tmp_path / 'full' / 'a.json', [])
    for folder, images, message in (('missing', None, 'missing is no folder'), ('empty', None, 'there is no JSON file'),
                                    ('full', 'missing', '--images .*missing is no folder')):
        with pytest.raises(UserError, match=message):
            _read(tmp_path / folder, images and tmp_path / images)


def test_the_numbers_are_those_of_the_file(tmp_path):
    write_image(tmp_path / 'a.png')
    labelme(tmp_path / 'a.json', [shape('a', 'polygon', (0.1, 2), (3, 4.25), (1e-5, 7))])
    polygon = json.loads((tmp_path / 'a.json').read_text())['shapes'][0]['points']
    assert _read(tmp_path).images[0].shapes[0].outline.parts[0].tolist() == polygon
