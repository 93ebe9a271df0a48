"""Reading instances of COCO."""

import numpy as np
import pytest

from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools.annotations.coco import read_coco
from mmseg_attn.data_tools.annotations.drawing import draw

from .annotated import HEIGHT, SIZE, WIDTH, coco

BOX = [1, 2, 6, 2, 6, 7, 1, 7]
NUMBERS = dict(cat=1, dog=2)


def _read(file):
    return read_coco(file, file.parent / 'images')


def _drawn(read) -> np.ndarray:
    return draw(read.images[0].shapes, NUMBERS, SIZE, 0, 1, read.larger_first)[0]


def test_polygons_of_several_parts_and_classes_by_id(tmp_path):
    read = _read(coco(tmp_path / 'a.json', [dict(segmentation=[BOX, [8, 0, 10, 0, 10, 3, 8, 3]])]))
    assert read.labels == ['dog', 'cat']  # 1 and 3
    assert [(image.name, image.suffix, image.size, len(image.shapes)) for image in read.images] == [
        ('1', '.png', SIZE, 1), ('2', '.png', SIZE, 0)]
    assert read.images[0].source == tmp_path / 'images' / '1.png'
    assert not read.turned
    expected = np.zeros((HEIGHT, WIDTH))
    expected[2:7, 1:6] = expected[:3, 8:10] = 1
    np.testing.assert_array_equal(_drawn(read), expected)


def test_large_shapes_lie_below_small_ones(tmp_path):
    large, small = [0, 0, 13, 0, 13, 9, 0, 9], BOX
    for segmentations in ((large, small), (small, large)):
        read = _read(coco(tmp_path / 'a.json', [dict(segmentation=[s], category_id=3 if s is small else 1)
                                                for s in segmentations]))
        assert (np.bincount(_drawn(read).ravel()) == [0, 25, 117 - 25]).all()


def _counts(mask: np.ndarray) -> list[int]:
    """Lengths of the runs down the columns, by hand."""
    counts, value = [0], 0
    for pixel in mask.T.ravel().tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


@pytest.mark.parametrize('seed', range(3))
def test_run_lengths(tmp_path, seed):
    mask = (np.random.default_rng(seed).random((HEIGHT, WIDTH)) < 0.4).astype(int)
    rle = dict(size=[HEIGHT, WIDTH], counts=_counts(mask))
    read = _read(coco(tmp_path / 'a.json', [dict(segmentation=rle, iscrowd=1)]))
    np.testing.assert_array_equal(_drawn(read), mask)


def test_compressed_run_lengths(tmp_path):
    # Written by pycocotools, of 5 x 7 pixels.
    rle = dict(size=[5, 7], counts='01:2HNO012004')
    file = coco(tmp_path / 'a.json', [dict(segmentation=rle)],
                images=[dict(id=7, file_name='1.png', width=7, height=5)])
    drawn = draw(_read(file).images[0].shapes, NUMBERS, (7, 5), 0, 1, True)[0]
    np.testing.assert_array_equal(drawn, [[1, 0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1, 0], [0, 0, 1, 0, 1, 1, 0],
                                          [0, 0, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0, 0]])


def test_ids_may_be_texts_and_names_have_folders(tmp_path):
    file = coco(tmp_path / 'a.json', [dict(image_id='x', category_id='c', segmentation=[BOX])],
                images=[dict(id='x', file_name='sub\\1.b.png', width=WIDTH, height=HEIGHT)],
                categories=[dict(id='d', name='dog'), dict(id='c', name='cat')])
    read = _read(file)
    assert read.labels == ['cat', 'dog']
    assert (read.images[0].name, read.images[0].source) == ('sub/1.b', tmp_path / 'images' / 'sub' / '1.b.png')


IMAGE = dict(id=7, file_name='1.png', width=WIDTH, height=HEIGHT)
RLE = dict(size=[HEIGHT, WIDTH], counts=[117])


@pytest.mark.parametrize(('annotation', 'message'), [
    (dict(), r'annotations\[0\] \(id 0\) has no segmentation: a box alone does not say'),
    (dict(segmentation=[]), 'has no segmentation'), (dict(segmentation='x'), r'must be a list \[...\], and is \'x\''),
    (dict(segmentation=[[1, 2, 3, 4]]), 'must be x1, y1, x2, y2, x3, y3 and so on, and has 4 numbers'),
    (dict(segmentation=[BOX[:7]]), 'and has 7 numbers'), (dict(segmentation=[7]), r'must be a list \[...\], and is 7'),
    (dict(segmentation=[[*BOX, '1', 2]]), "'1' is no number"), (dict(segmentation=[[*BOX, None, 2]]), 'None is no'),
    (dict(segmentation=[[*BOX, 1e7, 2]]), r'10000000.0 is farther away'),
    (dict(segmentation=[[*BOX, float('nan'), 2]]), 'NaN is no number of JSON'),
    (dict(segmentation=[BOX], image_id=8), r'belongs to the image 8, which is not among the images'),
    (dict(segmentation=[BOX], image_id=None), "'image_id' must be a whole number, and is None"),
    (dict(segmentation=[BOX], category_id=2), 'of the category 2, which is not among the categories 1, 3'),
    (dict(segmentation=RLE | dict(size=[10**9, 10**9])), r'size \(height, width\) \[1000000000, 1000000000\], and'),
    (dict(segmentation=RLE | dict(size=[WIDTH, HEIGHT])), r'of the size \(height, width\) \[13, 9\], and the image is'),
    (dict(segmentation=RLE | dict(counts=[10**15])), 'some are no whole numbers from 0 to 117'),
    (dict(segmentation=RLE | dict(counts=[100])), 'their sum is 100'),
    (dict(segmentation=RLE | dict(counts='z\x7f')), 'the compressed run lengths are damaged'),
    (dict(segmentation=RLE | dict(counts=None)), r"'counts' must be a list \[...\], and is None"),
    (dict(segmentation=dict(counts=[117])), "the RLE has no 'size', but 'counts'")])
def test_annotations_that_cannot_be_drawn(tmp_path, annotation, message):
    with pytest.raises(UserError, match=message) as info:
        _read(coco(tmp_path / 'a.json', [annotation]))
    assert str(info.value).startswith(str(tmp_path / 'a.json'))


@pytest.mark.parametrize(('more', 'message'), [
    (dict(images=...), "has no 'images', but 'annotations', 'categories'"), (dict(categories=...), "no 'categories'"),
    (dict(annotations=...), "has no 'annotations'"), (dict(annotations={}), "'annotations' must be a list"),
    (dict(annotations=[3]), r'annotations\[0\] must be an object'),
    (dict(images=[None]), r'images\[0\] must be an obj'),
    (dict(images=[IMAGE, IMAGE]), r'images\[1\] has the id 7 of another image'),
    (dict(images=[IMAGE | dict(file_name='../1.png')]), "'../1.png' lies outside of the folder"),
    (dict(images=[IMAGE | dict(file_name='a/../../1.png')]), 'lies outside of the folder'),
    (dict(images=[IMAGE | dict(file_name='/etc/1.png')]), 'lies outside of the folder'),
    (dict(images=[IMAGE | dict(file_name='..\\1.png')]), 'lies outside of the folder'),
    (dict(images=[IMAGE | dict(file_name='a/.1.png')]), 'begins with a dot'),
    (dict(images=[IMAGE | dict(width=10**9)]), "images\\[0\\]: 'width' must be from 1 to 1,048,576"),
    (dict(images=[IMAGE | dict(height=-1)]), "'height' must be from 1"),
    (dict(images=[dict(id=7, file_name='1.png')]), "images\\[0\\] has no 'width', but 'id', 'file_name'"),
    (dict(categories=[dict(id=1, name='a'), dict(id=1, name='b')]), r"\[1\] \('b'\) has the id 1 of another"),
    (dict(images=[IMAGE | dict(width=13.5)]), "'width' must be a whole number, and is 13.5"),
    (dict(images=[IMAGE | dict(width=1e300)]), "'width' must be from 1 to .* pixels, and is a number of very"),
    (dict(categories=[dict(id=1, name=[])]), "'name' must be a text")])
def test_files_that_are_not_of_coco(tmp_path, more, message):
    with pytest.raises(UserError, match=message) as info:
        _read(coco(tmp_path / 'a.json', [], **more))
    assert str(info.value).startswith(str(tmp_path / 'a.json'))


def test_whole_numbers_may_be_written_as_fractions(tmp_path):
    file = coco(tmp_path / 'a.json', [dict(segmentation=[BOX], image_id=7.0, category_id=3.0)],
                images=[IMAGE | dict(id=7.0, width=float(WIDTH), height=float(HEIGHT))])
    read = _read(file)
    assert [(image.size, [shape.label for shape in image.shapes]) for image in read.images] == [(SIZE, ['cat'])]
    assert all(type(side) is int for side in read.images[0].size)


# As Roboflow exports them.
ABOVE = [dict(id=0, name='pets', supercategory='none'), dict(id=1, name='dog', supercategory='pets'),
         dict(id=3, name='cat', supercategory='pets')]
BIRDS = [dict(id=0, name='cat', supercategory='none'), dict(id=1, name='owl', supercategory='cat'),
         dict(id=3, name='cat', supercategory='cat')]


def test_a_category_that_only_stands_above_others_is_no_class(tmp_path):
    read = _read(coco(tmp_path / 'a.json', [dict(segmentation=[BOX])], categories=ABOVE))
    assert read.labels == ['dog', 'cat']
    assert read.notes == ["the category 'pets' is the supercategory of others, and no annotation is of it: it is no "
                          'class, unless --classes names it']
    used = _read(coco(tmp_path / 'a.json', [dict(segmentation=[BOX], category_id=0)], categories=ABOVE))
    assert (used.labels, used.notes) == (['pets', 'dog', 'cat'], [])
    # As in COCO itself, where the category person is of the supercategory person.
    own = [dict(id=1, name='person', supercategory='person'), dict(id=2, name='car', supercategory='vehicle')]
    assert _read(coco(tmp_path / 'a.json', [], categories=own)).labels == ['person', 'car']


def test_of_two_categories_with_one_name_the_annotated_one_counts(tmp_path):
    for order in (BIRDS, BIRDS[::-1]):
        read = _read(coco(tmp_path / 'a.json', [dict(segmentation=[BOX])], categories=order))
        assert (read.labels, read.notes) == (['owl', 'cat'], [])
    twins = [dict(id=1, name='a'), dict(id=2, name=' a')]
    assert _read(coco(tmp_path / 'a.json', [], categories=twins)).labels == ['a']
    both = [dict(segmentation=[BOX], category_id=i) for i in (0, 3)]
    with pytest.raises(UserError, match=r"a.json: the categories 0 and 3 have both the name 'cat', and annotations"):
        _read(coco(tmp_path / 'a.json', both, categories=BIRDS))


def test_a_file_for_training_and_one_for_validation(tmp_path):
    files = [coco(tmp_path / name / 'a.json', [dict(segmentation=[BOX], category_id=number)], categories=categories,
                  images=[IMAGE | dict(file_name=f'{name}.png')])
             for name, number, categories in (('train', 1, ABOVE), ('valid', 3, [*ABOVE, dict(id=4, name='hen')]))]
    folders = [file.parent / 'images' for file in files]
    read = read_coco(files[0], folders[0], (files[1], folders[1]))
    assert read.labels == ['dog', 'cat', 'hen']
    assert [(image.name, image.source.parent, image.shapes[0].label) for image in read.images] == [
        ('train', folders[0], 'dog'), ('valid', folders[1], 'cat')]
    assert read.validated == {'valid'}
    assert read_coco(files[0], folders[0]).validated is None


def test_no_folder_of_images(tmp_path):
    with pytest.raises(UserError, match=r'--images .*missing is no folder'):
        read_coco(coco(tmp_path / 'a.json', []), tmp_path / 'missing')
    with pytest.raises(UserError, match=r'b.json cannot be read: No such file'):
        _read(tmp_path / 'b.json')
