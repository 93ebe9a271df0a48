"""Labels become numbers, and images are split."""

from pathlib import Path

import numpy as np
import pytest

from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools.annotations.classes import number_classes, read_classes
from mmseg_attn.data_tools.annotations.content import AnnotatedImage, Annotations, Polygons, Shape
from mmseg_attn.data_tools.annotations.split import split_images

OUTLINE = Polygons((np.zeros((3, 2)), ))


def _annotations(labels: list[str], *used: str) -> Annotations:
    shapes = tuple(Shape(label, OUTLINE, f'a.json: shape {i + 1}') for i, label in enumerate(used))
    return Annotations([AnnotatedImage('a', '.png', Path('a.png'), False, None, shapes, 'a.json')], labels)


def _number(annotations, given=None, ignored=(), ignore_unknown=False, background=True):
    return number_classes(annotations, given, list(ignored), ignore_unknown, background)


def test_the_background_is_number_0():
    numbering = _number(_annotations(['b', 'a'], 'a'))
    assert numbering.classes == ('background', 'b', 'a')
    assert (numbering.numbers, numbering.fill, numbering.notes) == (dict(background=0, b=1, a=2), 0, ())


def test_a_background_that_is_drawn_is_the_same():
    assert _number(_annotations(['a', 'background'])).classes == ('background', 'a')
    assert _number(_annotations(['a']), ['background', 'a']).classes == ('background', 'a')
    assert _number(_annotations(['a', 'background']), background=False).numbers == dict(a=0, background=1)


def test_the_background_however_it_is_spelt():
    annotations = _annotations(['a', 'Background', 'BACKGROUND'], 'BACKGROUND', 'a')
    numbering = _number(annotations)
    assert (numbering.classes, numbering.numbers) == (
        ('Background', 'a'), dict(Background=0, BACKGROUND=0, a=1))
    assert numbering.notes == ("'Background' and 'BACKGROUND': the same class as the pixels in no shape, number 0; "
                               'with --no-background it is one of its own', )
    assert _number(annotations, ['background', 'a']).classes == ('background', 'a')
    assert _number(annotations, ['a']).numbers == dict(Background=0, BACKGROUND=0, a=1)
    ignored = _number(annotations, ignored=['Background', 'BACKGROUND'])
    assert (ignored.classes, ignored.notes) == (('background', 'a'), ())
    assert ignored.numbers == dict(background=0, a=1, Background=255, BACKGROUND=255)
    without = _number(annotations, background=False)
    assert (without.classes, without.notes) == (('a', 'Background', 'BACKGROUND'), ())
    with pytest.raises(UserError, match='--classes names Background at number 1, and pixels in no shape are number 0'):
        _number(annotations, ['a', 'Background'])


def test_without_background_the_rest_is_ignored():
    numbering = _number(_annotations(['b', 'a'], 'a'), background=False)
    assert (numbering.classes, numbering.fill) == (('b', 'a'), 255)


def test_given_classes_and_labels_that_are_ignored():
    annotations = _annotations(['a', 'b', 'c'], 'c', 'a', 'b', 'b')
    assert _number(annotations, ignored=['b', 'x']).numbers == dict(background=0, a=1, c=2, b=255, x=255)
    numbering = _number(annotations, ['c', 'z'], ['a'], ignore_unknown=True)
    assert numbering.classes == ('background', 'c', 'z')
    assert numbering.numbers == dict(background=0, c=1, z=2, a=255, b=255)
    assert numbering.notes == ("shapes with the unknown label 'b', ignored (255): 2", )


@pytest.mark.parametrize(('given', 'ignored', 'background', 'message'), [
    (['car', 'cat'], [], True, r"^a.json: shape 2: 'carr' is none of the classes background, car, cat. Did you mean "
                               r'car\?\n  Correct it, add it to --classes, or .*--ignored LABEL .*--ignore-unknown'),
    ([f'class{i}' for i in range(30)], [], True, 'class18 and 11 more.\n'),
    (['a', 'background'], [], True, 'names background at number 1, and pixels in no shape are number 0'),
    (['a', 'b'], ['b'], True, "--ignored 'b' is among --classes too"),
    (['a'], [], False, r'there are 1 classes \(a\), and training takes from 2 to 255'),
    ([str(i) for i in range(255)], [], True, 'there are 256 classes')])
def test_classes_that_do_not_fit(given, ignored, background, message):
    with pytest.raises(UserError, match=message):
        _number(_annotations([], 'background', 'carr'), given, ignored, background=background)


def test_255_classes_are_the_most():
    assert len(_number(_annotations([str(i) for i in range(255)]), background=False).classes) == 255


def test_a_file_of_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('classes.txt').write_bytes('\ufeffroad\r\n traffic light \r\n\r\nÄpfel\r\n'.encode())
    assert read_classes(['classes.txt']) == ['road', 'traffic light', 'Äpfel']
    assert read_classes(['road']) == ['road']
    assert read_classes(None) is None
    Path('empty').write_text('\n')
    for names, message in ((['a', 'b', 'a '], "names 'a' twice"), (['empty'], 'names no class')):
        with pytest.raises(UserError, match=message):
            read_classes(names)


def _images(count: int) -> list[AnnotatedImage]:
    return [AnnotatedImage(f'{i:03}', '.jpg', Path(), False, None, (), '') for i in range(count)]


@pytest.mark.parametrize(('count', 'share', 'expected'), [
    (100, '0.2', 20), (3, '0.01', 1), (2, '0.5', 1), (7, '0.25', 2)])
def test_a_share_is_taken(count, share, expected):
    split = split_images(_images(count), share)
    assert sum(value == 'val' for value in split.values()) == expected
    assert split == split_images(_images(count)[::-1], share)


def test_the_choice_is_the_same_everywhere():
    chosen = [name for name, part in split_images(_images(20), '0.2').items() if part == 'val']
    # printf '%s' 010 | sha256sum, and so on for all: the four lowest.
    assert chosen == ['000', '010', '015', '018']
    # More for validation are the same ones and others.
    assert set(chosen) < {name for name, part in split_images(_images(20), '0.5').items() if part == 'val'}


def test_a_file_of_names(tmp_path):
    (tmp_path / 'val.txt').write_text('001\n\n003.jpg\n001.jpg\n')
    split = split_images(_images(5), str(tmp_path / 'val.txt'))
    assert [name for name, part in split.items() if part == 'val'] == ['001', '003']


@pytest.mark.parametrize(('val', 'message'), [
    ('0', '--val must be a share between 0 and 1, or a file with names, got 0'), ('1', 'a share between'),
    ('-0.1', 'a share between'), ('nan', 'a share between'),
    ('0.9', r'--val 0.9 leaves 0 of 3 images to train on and 3'),
    ('val', '--val val is neither a share such as 0.2 nor a file'),
    ('none.txt', 'leaves 3 of 3 images to train on and 0'),
    ('all.txt', 'leaves 0 of 3 images'),
    ('other.txt', "other.txt names '7', which is none of the annotated images, such as '000'; and 1 more")])
def test_splits_that_do_not_work(tmp_path, monkeypatch, val, message):
    monkeypatch.chdir(tmp_path)
    for name, lines in (('none', '\n'), ('all', '000\n001\n002\n'), ('other', '7\n000\n8\n')):
        Path(f'{name}.txt').write_text(lines)
    with pytest.raises(UserError, match=message):
        split_images(_images(3), val)
