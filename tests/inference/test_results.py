import numpy as np
from PIL import Image

from mmseg_attn.inference.results import save_mask, save_picture, save_probabilities

PALETTE = [(10, 200, 30), (250, 0, 255), (0, 90, 120)]


def test_a_mask_holds_numbers_and_shows_colours(tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (5, 7)).astype(np.uint8)
    save_mask(tmp_path / 'masks' / 'a.png', labels, PALETTE)
    image = Image.open(tmp_path / 'masks' / 'a.png')
    assert (image.format, image.mode) == ('PNG', 'P')
    assert np.array_equal(np.array(image), labels)
    assert np.array_equal(np.array(image.convert('RGB')), np.array(PALETTE, np.uint8)[labels])


def test_256_classes_fit(tmp_path):
    labels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    save_mask(tmp_path / 'a.png', labels, [(i, 255 - i, 7) for i in range(256)])
    image = Image.open(tmp_path / 'a.png')
    assert np.array_equal(np.array(image), labels)
    assert image.convert('RGB').getpixel((15, 15)) == (255, 0, 7)


def test_pictures_and_probabilities(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    save_picture(tmp_path / 'a.png', picture)
    assert np.array_equal(np.array(Image.open(tmp_path / 'a.png')), picture)
    probabilities = np.random.default_rng(0).random((2, 5, 7)).astype(np.float16)
    save_probabilities(tmp_path / 'a.npz', probabilities, ['road', 'Straße'])
    with np.load(tmp_path / 'a.npz') as loaded:
        assert sorted(loaded.files) == ['classes', 'probabilities']
        assert loaded['classes'].tolist() == ['road', 'Straße']
        assert loaded['probabilities'].dtype == np.float16
        assert np.array_equal(loaded['probabilities'], probabilities)
