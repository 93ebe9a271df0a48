"""Whatever stands in an annotation file: it is read, or one message says what is wrong with it."""

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmseg_attn.common import files
from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools.annotations.classes import number_classes
from mmseg_attn.data_tools.annotations.coco import read_coco
from mmseg_attn.data_tools.annotations.cvat import read_cvat
from mmseg_attn.data_tools.annotations.labelme import read_labelme
from mmseg_attn.data_tools.annotations.split import split_images
from mmseg_attn.data_tools.annotations.writing import write_data_set

from .annotated import HEIGHT, WIDTH, base64_of, coco, cvat, labelme, shape, write_image

STRANGE = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([10**9, -10**9, 10**30, 10**400]), st.floats(), st.text(),
    st.sampled_from(['', '../1.png', '..\\1.png', '/etc/passwd', 'C:\\1.png', '1.png', '1', '\ud800', 'a' * 10_000,
                     'AAAA', '{{$A:x}}', '\x1b[2J', 'polygon', 'mask', 'circle']),
    st.lists(st.one_of(st.integers(), st.floats(), st.text(max_size=3)), max_size=8),
    st.lists(st.lists(st.integers(-9, 99), min_size=2, max_size=2), max_size=5),
    st.dictionaries(st.sampled_from(['size', 'counts', 'id']), st.one_of(st.integers(), st.lists(st.integers()))))
FUZZ = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _places(node: object, path: tuple = ()) -> list[tuple]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [path] * bool(path) + [place for key, inner in children for place in _places(inner, (*path, key))]


def _changed(content: dict, place: tuple, value: object) -> dict:
    content = json.loads(json.dumps(content))
    node = content
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    return content


def _write(read, root: Path) -> str:
    """The message if it is refused."""
    try:
        annotations = read()
        numbering = number_classes(annotations, None, [], False, True)
        write_data_set(root, annotations, numbering, split_images(annotations.images, '0.5'), 2, False, 1)
    except UserError as error:
        return str(error)
    return ''


def _read_or_refuse(read, root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    before = {path for path in root.parent.rglob('*')}
    message = _write(read, root)
    assert len(message) < 1500
    assert root.exists() == (not message)
    added = {path for path in root.parent.rglob('*')} - before
    assert all(path.is_relative_to(root) or path.name == f'{root.name}.lock' for path in added)


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(files, '_flush', lambda path: None)  # onto the disk, a hundred times


@FUZZ
@given(data=st.data())
def test_labelme(tmp_path, data):
    folder = tmp_path / 'a'
    for i in range(2):
        write_image(folder / f'{i}.png', i)
        labelme(folder / f'{i}.json', [])
    file = labelme(folder / '1.json', [
        shape('a', 'polygon', (0, 0), (4, 0), (4, 4)), shape('b', 'circle', (0, 0), (4, 0)),
        shape('c', 'linestrip', (0, 0), (4, 0)), shape('d', 'mask', (0, 0), (12, 8), mask=base64_of(folder / '1.png'))],
        imageData=base64_of(folder / '1.png'))
    content = json.loads(file.read_text())
    place = data.draw(st.sampled_from(_places(content)))
    file.write_text(json.dumps(_changed(content, place, data.draw(STRANGE))))
    _read_or_refuse(lambda: read_labelme(folder, None, 1), tmp_path / 'mine')
    file.write_text(json.dumps(content))
    assert (tmp_path / 'whole').exists() or not _write(lambda: read_labelme(folder, None, 1), tmp_path / 'whole')


@FUZZ
@given(data=st.data())
def test_coco(tmp_path, data):
    file = coco(tmp_path / 'a' / 'a.json', [
        dict(segmentation=[[0, 0, 4, 0, 4, 4], [5, 5, 9, 5, 9, 8]]),
        dict(segmentation=dict(size=[HEIGHT, WIDTH], counts=[3, 5, 109]), category_id=1, image_id=9),
        dict(segmentation=dict(size=[HEIGHT, WIDTH], counts='35]3'))])
    content = json.loads(file.read_text())
    place = data.draw(st.sampled_from(_places(content)))
    file.write_text(json.dumps(_changed(content, place, data.draw(STRANGE))))
    _read_or_refuse(lambda: read_coco(file, file.parent / 'images'), tmp_path / 'mine')
    file.write_text(json.dumps(content))
    assert (tmp_path / 'whole').exists() or not _write(
        lambda: read_coco(file, file.parent / 'images'), tmp_path / 'whole')


CVAT = ('<polygon label="cat" points="0,0;4,0;4,4" z_order="0"/><box label="dog" xtl="1" ytl="2" xbr="6" ybr="7" '
        'rotation="30" z_order="1"/><ellipse label="cat" cx="5" cy="4" rx="3" ry="2" z_order="0"/>'
        '<polyline label="dog" points="1,1;5,5" z_order="0"/>'
        '<mask label="dog" rle="1, 2, 9" left="1" top="2" width="4" height="3" z_order="0"/>')


@FUZZ
@given(data=st.data())
def test_cvat(tmp_path, data):
    file = cvat(tmp_path / 'a' / 'a.xml', CVAT)
    text = file.read_text()
    strange = str(data.draw(STRANGE.filter(lambda value: value != 10**400)))
    value = re.sub(r'[<&"\x00-\x1f\ud800-\udfff\ufffe\uffff]', '', strange)
    # The value of an attribute, the name of one, that of an element, or anything at all.
    spans = [match.span(1) for pattern in (r'="([^"]*)"', r' (\w+)=', r'<(\w+)', r'(.)')
             for match in [data.draw(st.sampled_from(list(re.finditer(pattern, text))))]]
    start, end = data.draw(st.sampled_from(spans))
    file.write_text(text[:start] + value + text[end:], encoding='utf-8')
    _read_or_refuse(lambda: read_cvat(file, file.parent / 'images'), tmp_path / 'mine')
    file.write_text(text)
    assert (tmp_path / 'whole').exists() or not _write(
        lambda: read_cvat(file, file.parent / 'images'), tmp_path / 'whole')
