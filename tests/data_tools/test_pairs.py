"""Reading an image and its label map."""

import numpy as np
import pytest
from mmcv import imread
from PIL import Image

from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools.pairs import (
    BROKEN_IMAGE,
    BROKEN_LABEL,
    CHANNELS,
    FRACTIONS,
    MISSING_IMAGE,
    MISSING_LABEL,
    OTHER_SIZE,
    Pair,
    check_pairs,
    decode_image,
    decode_label,
    read_pair,
)

LABEL = np.array([[0, 1, 2], [2, 2, 255]], np.uint8)


@pytest.fixture
def pair(tmp_path) -> Pair:
    pair = Pair(str(tmp_path / 'a.jpg'), str(tmp_path / 'a.png'))
    Image.fromarray(np.random.RandomState(0).randint(256, size=(2, 3, 3)).astype(np.uint8)).save(pair.image)
    Image.fromarray(LABEL).save(pair.label)
    return pair


def _problems(pair: Pair) -> list[tuple[str, str]]:
    return [(problem.kind, problem.detail) for problem in read_pair(pair).problems]


def test_a_good_pair(pair):
    content = read_pair(pair)
    assert (content.size, content.values, content.problems) == ((3, 2), {0: 1, 1: 1, 2: 3, 255: 1}, [])
    np.testing.assert_array_equal(decode_label(pair), LABEL)
    np.testing.assert_array_equal(decode_image(pair), imread(pair.image, channel_order='rgb'))


def test_no_label_map_is_wanted(pair):
    assert read_pair(Pair(pair.image, None)).problems == []


@pytest.mark.parametrize('bytes_left', [0, 4, 30, 45, -13])
def test_a_cut_file(pair, bytes_left):
    for path, kind in ((pair.image, BROKEN_IMAGE), (pair.label, BROKEN_LABEL)):
        with open(path, 'rb') as file:
            content = file.read()
        with open(path, 'wb') as file:
            file.write(content[:bytes_left])
        assert [problem[0] for problem in _problems(pair)] == [kind]
        with open(path, 'wb') as file:
            file.write(content)


def test_files_of_another_kind(pair):
    with open(pair.image, 'w') as file:
        file.write('<html>404</html>')
    assert _problems(pair) == [(BROKEN_IMAGE, 'is no image that Pillow can read')]


def test_missing_files_and_what_is_there_instead(pair, tmp_path):
    (tmp_path / 'a.png').rename(tmp_path / 'a.PNG')
    (tmp_path / 'a.jpg').rename(tmp_path / 'a.jpeg')
    assert _problems(pair) == [(MISSING_IMAGE, 'does not exist; there is a.PNG, a.jpeg'),
                               (MISSING_LABEL, 'does not exist; there is a.PNG, a.jpeg')]
    lost = Pair(pair.image, str(tmp_path / 'labels' / 'a.png'))
    assert _problems(lost)[1] == (MISSING_LABEL, f'does not exist: there is no folder {tmp_path / "labels"}')


def test_another_size(pair):
    Image.fromarray(LABEL.T.copy()).save(pair.label)
    assert _problems(pair) == [(OTHER_SIZE, 'label map 2 x 3, image 3 x 2')]


@pytest.mark.parametrize('orientation', [1, 2, 3, 4, 5, 6, 7, 8])
def test_the_orientation_is_that_of_training(pair, orientation):
    image = Image.open(pair.image)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(pair.image, exif=exif)
    trained_on = imread(pair.image).shape[1::-1]
    assert read_pair(pair).size == trained_on
    assert bool(_problems(pair)) == (trained_on != (3, 2))
    if trained_on != (3, 2):
        assert 'turned by its EXIF orientation' in _problems(pair)[0][1]


@pytest.mark.parametrize(('array', 'mode', 'values'), [
    (np.array([[0, 300, 600], [600, 600, 65535]], np.uint16), 'I;16', {0: 1, 300: 1, 600: 3, 65535: 1}),
    (LABEL.astype(np.int32) - 1, 'I', {-1: 1, 0: 1, 1: 3, 254: 1}),
    (LABEL > 0, '1', {0: 1, 1: 5}),
    (LABEL.astype(np.float32), 'F', {0: 1, 1: 1, 2: 3, 255: 1})])
def test_kinds_of_label_maps(pair, array, mode, values):
    suffix = '.tif' if mode in 'IF' else '.png'
    other = Pair(pair.image, pair.label.replace('.png', suffix))
    Image.fromarray(array).save(other.label)
    content = read_pair(other)
    assert (content.mode, content.values, content.problems) == (mode, values, [])


def test_a_palette_gives_its_indices(pair):
    image = Image.fromarray(LABEL, mode='P')
    image.putpalette([7, 8, 9] * 256)
    image.save(pair.label)
    assert read_pair(pair).values == {0: 1, 1: 1, 2: 3, 255: 1}


def test_fractions(pair):
    other = Pair(pair.image, pair.label.replace('.png', '.tif'))
    Image.fromarray(LABEL / np.float32(2)).save(other.label)
    assert _problems(other) == [(FRACTIONS, 'float32 from 0.0 to 127.5')]


def test_colours(pair):
    colours = np.zeros((2, 3, 3), np.uint8)
    colours[0, 0] = 1, 2, 3
    Image.fromarray(colours).save(pair.label)
    content = read_pair(pair)
    assert [problem.kind for problem in content.problems] == [CHANNELS]
    assert set(content.colours) == {(0, 0, 0), (1, 2, 3)}
    assert content.values == {}


@pytest.mark.parametrize(('mode', 'detail'), [('RGB', 'equal in every pixel'), ('RGBA', 'equal in every pixel'),
                                              ('LA', '2 channels')])
def test_channels_that_say_the_same(pair, mode, detail):
    Image.fromarray(LABEL).convert(mode).save(pair.label)
    (kind, text), = _problems(pair)
    assert kind == CHANNELS
    assert detail in text


def test_a_check_of_many_names_the_first(pair, tmp_path):
    check_pairs(tmp_path, [pair], frozenset({0, 1, 2, 255}), 1, 'all', 'do this')
    missing = [Pair(pair.image, str(tmp_path / 'labels' / f'{i}.png')) for i in range(5)]
    with pytest.raises(UserError, match=r'^all is damaged: a.png: .*it holds \[255\]; labels/0.png: missing .*; '
                                        r'labels/1.png: .*; and 3 more.\n  do this$'):
        check_pairs(tmp_path, [pair, *missing], frozenset({0, 1, 2}), 1, 'all', 'do this')
