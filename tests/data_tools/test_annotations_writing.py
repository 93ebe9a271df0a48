"""The data set that is made of annotations, and the config that trains on it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from mmcv import imread
from mmengine.config import Config
from PIL import Image

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.shipped import configs_folder
from mmseg_attn.data_tools.annotations import training_config
from mmseg_attn.data_tools.annotations.classes import number_classes
from mmseg_attn.data_tools.annotations.coco import read_coco
from mmseg_attn.data_tools.annotations.cvat import read_cvat
from mmseg_attn.data_tools.annotations.labelme import read_labelme
from mmseg_attn.data_tools.annotations.report import lines_of
from mmseg_attn.data_tools.annotations.split import split_images
from mmseg_attn.data_tools.annotations.training_config import (
    base_of,
    config_text,
    crop_of,
    require_config_place,
    scale_of,
    write_config,
)
from mmseg_attn.data_tools.annotations.writing import Written, write_data_set
from tests.tools.small_archives import tree

from .annotated import (
    HEIGHT,
    SIZE,
    WIDTH,
    base64_of,
    coco,
    cvat,
    labelme,
    labelme_folder,
    pixels,
    shape,
    write_image,
)

CAT = shape('cat', 'rectangle', (1, 2), (6, 7))


def _write(folder: Path, root: Path, val: str = '0.2', nproc: int = 1, link: bool = False, annotations=None,
           background: bool = True, line_width: float = 10) -> Written:
    annotations = annotations or read_labelme(folder, None, 1)
    numbering = number_classes(annotations, None, [], False, background)
    split = split_images(annotations.images, val)
    return write_data_set(root, annotations, numbering, split, line_width, link, nproc)


def _label(root: Path, name: str) -> np.ndarray:
    path, = root.glob(f'labels/*/{name}.png')
    image = Image.open(path)
    assert image.mode == 'L'
    return np.array(image)


def test_the_layout(tmp_path):
    folder, root = labelme_folder(tmp_path / 'a'), tmp_path / 'data' / 'mine'
    written = _write(folder, root)
    assert (written.suffix, written.classes, written.was_there) == ('.png', ('background', 'cat', 'dog'), False)
    val, = (one.image.name for one in written.images if one.split == 'val')
    splits = {str(i): 'val' if str(i) == val else 'train' for i in range(5)}
    assert set(tree(root)) == {'classes.txt', *(f'{kind}/{split}/{name}.png' for name, split in splits.items()
                                                for kind in ('images', 'labels'))}
    assert (root / 'classes.txt').read_text() == 'background\ncat\ndog\n'
    for name, split in splits.items():
        assert (root / 'images' / split / f'{name}.png').read_bytes() == (folder / f'{name}.png').read_bytes()
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[2:7, 1:6] = 1
    np.testing.assert_array_equal(_label(root, '0'), expected)
    expected[1:8, 3:9] = 2
    np.testing.assert_array_equal(_label(root, '1'), expected)
    assert {path.name for path in root.parent.iterdir()} == {'mine', 'mine.lock'}


def test_numbers_are_told(tmp_path):
    folder = labelme_folder(tmp_path / 'a')
    labelme(folder / '1.json', [])
    labelme(folder / '2.json', [shape('cat', 'rectangle', (1, 1), (1.2, 1.2))])
    (tmp_path / 'val.txt').write_text('0\n')
    lines = lines_of(_write(folder, tmp_path / 'mine', str(tmp_path / 'val.txt')))
    assert lines == [
        'Images: train 4, val 1',
        '       class         train   images      val   images',
        '    0  background   77.78%        4   78.63%        1',
        '    1  cat           4.27%        2   21.37%        1',
        '    2  dog          17.95%        2    0.00%        0',
        'Note: images without any shape, all background: 1, such as 1',
        'Note: shapes that hold no centre of a pixel, and so do not show: 1']


def test_without_background(tmp_path):
    folder = labelme_folder(tmp_path / 'a')
    written = _write(folder, tmp_path / 'mine', background=False)
    assert set(np.unique(_label(tmp_path / 'mine', '1'))) == {0, 1, 255}
    assert lines_of(written)[-1].startswith('  255  (ignored)')


def test_a_background_that_does_not_occur_is_told(tmp_path):
    folder = labelme_folder(tmp_path / 'a', 2)
    shapes = [shape('a', 'rectangle', (0, 0), (13, 9)), shape('b', 'rectangle', (5, 0), (9, 9))]
    for i in range(2):
        labelme(folder / f'{i}.json', shapes)
    assert _write(folder, tmp_path / 'mine').notes == [
        'no pixel is background, so that it is a class that cannot be learnt: with --no-background there is none']
    assert _write(folder, tmp_path / 'other', background=False).notes == []


def test_classes_that_do_not_occur_are_told(tmp_path):
    read = read_coco(coco(tmp_path / 'a.json', [dict(segmentation=[[1, 2, 6, 2, 6, 7]])]), tmp_path / 'images')
    notes = _write(tmp_path, tmp_path / 'mine', annotations=read, val='0.5').notes
    assert notes[-1] == ('no pixel is dog: what does not occur cannot be learnt. --classes with the others leaves it '
                         'out')


@pytest.mark.parametrize('options', [dict(nproc=2), dict(link=True)])
def test_several_processes_and_links_make_the_same(tmp_path, options):
    folder = labelme_folder(tmp_path / 'a')
    for name, more in (('one', {}), ('other', options)):
        _write(folder, tmp_path / name, **more)
    assert tree(tmp_path / 'one') == tree(tmp_path / 'other')
    same = [os.path.samefile(path, folder / path.name) for path in (tmp_path / 'other').glob('images/*/*')]
    assert same == [options.get('link', False)] * 5


def test_links_across_disks_are_copies(tmp_path, monkeypatch):
    def fails(*args):
        raise OSError(18, 'Invalid cross-device link')
    monkeypatch.setattr(os, 'link', fails)
    assert not _write(labelme_folder(tmp_path / 'a'), tmp_path / 'mine', link=True).was_there


def test_a_repeated_run_compares_and_changes_nothing(tmp_path):
    folder, root = labelme_folder(tmp_path / 'a'), tmp_path / 'mine'
    first = _write(folder, root)
    (root / '.DS_Store').write_text('')
    files = tree(root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob('*')}
    again = _write(folder, root)
    assert (first.was_there, again.was_there) == (False, True)
    assert [one.values.tolist() for one in first.images] == [one.values.tolist() for one in again.images]
    assert tree(root) == files
    assert times == {path: path.stat().st_mtime_ns for path in root.rglob('*')}


@pytest.mark.parametrize(('change', 'message'), [
    (lambda folder, root: labelme(folder / '0.json', []), r'labels/train/0.png has other pixels'),
    (lambda folder, root: write_image(folder / '0.png', 9), r'images/train/0.png is another image'),
    (lambda folder, root: (root / 'images/train/0.png').write_bytes(b''), r'images/train/0.png is another image'),
    (lambda folder, root: (root / 'labels/train/0.png').write_bytes(b''), r'labels/train/0.png has other pixels'),
    (lambda folder, root: (root / 'labels/train/0.png').unlink(), r'labels/train/0.png is missing'),
    (lambda folder, root: (root / 'notes.txt').write_text(''), r'notes.txt does not belong to it'),
    (lambda folder, root: (root / 'classes.txt').write_text('dog\n'), r'classes.txt has other classes'),
    (lambda folder, root: (write_image(folder / 'new.png'), labelme(folder / 'new.json', [CAT])), 'is missing')])
def test_what_is_there_is_never_changed(tmp_path, change, message):
    folder, root = labelme_folder(tmp_path / 'a'), tmp_path / 'mine'
    (tmp_path / 'val.txt').write_text('4\n')
    _write(folder, root, str(tmp_path / 'val.txt'))
    change(folder, root)
    files = tree(root)
    with pytest.raises(UserError, match=f'mine is there, and not what these annotations and options give: .*{message}'):
        _write(folder, root, str(tmp_path / 'val.txt'))
    assert tree(root) == files


def test_a_file_or_an_empty_folder_in_the_way(tmp_path):
    folder = labelme_folder(tmp_path / 'a')
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='file is there, and not what'):
        _write(folder, tmp_path / 'file')
    (tmp_path / 'empty').mkdir()
    assert not _write(folder, tmp_path / 'empty').was_there


@pytest.mark.parametrize(('change', 'message'), [
    (lambda folder: write_image(folder / '3.png', 3, (9, 13)),
     r'3.json: annotated as 13 x 9 pixels, and .*3.png has 9 x 13: the annotations are of another image'),
    (lambda folder: labelme(folder / '3.json', [], imageWidth=10**6, imageHeight=10**6),
     '1000000 x 1000000 pixels, and'),
    (lambda folder: (folder / '3.png').write_bytes((folder / '3.png').read_bytes()[:-20]),
     r'3.json: the image .*3.png '),
    (lambda folder: (folder / '3.png').write_bytes(b''), r'3.json: the image .*3.png is empty'),
    (lambda folder: (folder / '3.png').write_text('<html>'), r'the image .*3.png is no image that Pillow can read'),
    (lambda folder: labelme(folder / '3.json', [shape('cat', 'mask', (0, 0), (1, 1), mask='AAAA')]),
     r"3.json: shape 1 \('cat'\): the mask is no picture"),
    (lambda folder: labelme(folder / '3.json', [CAT], imagePath='1.png'),
     r'3.json and .*1.json have both the image .*1.png. There is one label map for each'),
    (lambda folder: (folder / '3.json').rename(folder / '3.JSON.json'), 'none'),
    (lambda folder: (write_image(folder / 'ä.png'), write_image(folder / 'A\u0308.png'), labelme(folder / 'ä.json', []),
                     labelme(folder / 'A\u0308.json', [])), "have both the name '(ä|A\u0308)' up to its suffix"),
    (lambda folder: ((folder / '3.png').rename(folder / '3.webm'), labelme(folder / '3.json', [], imagePath='3.webm')),
     '3.webm is no image by its suffix; there are .png, .jpg')])
def test_images_that_do_not_fit(tmp_path, change, message):
    folder = labelme_folder(tmp_path / 'a')
    change(folder)
    if message == 'none':
        assert _write(folder, tmp_path / 'mine')
        return
    with pytest.raises(UserError, match=message):
        _write(folder, tmp_path / 'mine')
    assert not (tmp_path / 'mine').exists()
    assert not list(tmp_path.glob('.partial*'))


def test_one_name_with_two_suffixes(tmp_path):
    images = [dict(id=i, file_name=name, width=WIDTH, height=HEIGHT) for i, name in ((7, '1.png'), (8, '1.jpg'))]
    coco(tmp_path / 'a.json', [], images=images)
    write_image(tmp_path / 'images' / '1.jpg')
    with pytest.raises(UserError, match=r"images\[1\] and .*images\[0\] have both the name '1' up to its suffix"):
        _write(tmp_path, tmp_path / 'mine', annotations=read_coco(tmp_path / 'a.json', tmp_path / 'images'), val='0.5')


def test_many_problems_are_told_at_once(tmp_path):
    folder = labelme_folder(tmp_path / 'a')
    for i in range(5):
        write_image(folder / f'{i}.png', i, (3, 3))
    with pytest.raises(UserError) as info:
        _write(folder, tmp_path / 'mine')
    lines = str(info.value).splitlines()
    assert len(lines) == 4
    assert all(f'{i}.json: annotated as' in line for i, line in enumerate(lines[:3]))
    assert lines[3] == '  and 2 more'


def test_a_missing_image_of_coco_or_cvat(tmp_path):
    write_image(tmp_path / 'images' / '3.JPG')
    for annotations in (
            read_coco(coco(tmp_path / 'a.json', [], images=[dict(id=i, file_name=f'{i}.jpg', width=13, height=9)
                                                            for i in (3, 4)]), tmp_path / 'images'),
            read_cvat(cvat(tmp_path / 'a.xml', '', name='3.jpg'), tmp_path / 'images')):
        with pytest.raises(UserError, match=r'3.jpg does not exist; there is 3.JPG'):
            _write(tmp_path, tmp_path / 'mine', annotations=annotations, val='0.5')


def test_an_interruption_leaves_nothing(tmp_path, monkeypatch):
    folder, steps = labelme_folder(tmp_path / 'a'), []
    save = Image.Image.save

    def interrupted(*args, **kwargs):
        steps.append(1)
        if len(steps) == 3:
            raise KeyboardInterrupt
        save(*args, **kwargs)
    monkeypatch.setattr(Image.Image, 'save', interrupted)
    with pytest.raises(KeyboardInterrupt):
        _write(folder, tmp_path / 'mine')
    assert not list(tmp_path.glob('mine')) + list(tmp_path.glob('.partial*'))
    assert not _write(folder, tmp_path / 'mine').was_there


def test_images_of_several_formats_become_png(tmp_path):
    folder, root = tmp_path / 'a', tmp_path / 'mine'
    for name, orientation in (('0.png', 1), ('1.jpg', 6), ('2.JPEG', 1), ('3.bmp', 1)):
        write_image(folder / name, 5, orientation=orientation)
        size = dict(imageWidth=HEIGHT, imageHeight=WIDTH) if orientation == 6 else {}
        labelme(folder / f'{name[0]}.json', [CAT], imagePath=name, **size)
    written = _write(folder, root)
    assert written.notes == [
        'the images are of several formats, and mmseg takes one: those of others were written as PNG']
    for one in written.images:
        path = root / 'images' / one.split / f'{one.image.name}.png'
        np.testing.assert_array_equal(imread(path), imread(one.image.source))
    assert _write(folder, root).was_there


def test_one_format_under_two_suffixes_is_kept(tmp_path):
    folder, root = tmp_path / 'a', tmp_path / 'mine'
    for name in ('0.jpg', '1.JPEG'):
        write_image(folder / name)
        labelme(folder / f'{name[0]}.json', [CAT], imagePath=name)
    assert _write(folder, root).suffix == '.jpg'
    copied, = root.glob('images/*/1.jpg')
    assert copied.read_bytes() == (folder / '1.JPEG').read_bytes()


def test_sixteen_bits_are_not_made_eight(tmp_path):
    folder = labelme_folder(tmp_path / 'a')
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16)).save(folder / '1.tif')
    labelme(folder / '1.json', [CAT], imagePath='1.tif')
    with pytest.raises(UserError, match=r'1.tif has pixels of the kind I;16, and the images are of several formats'):
        _write(folder, tmp_path / 'mine')


def test_images_in_the_json_files(tmp_path):
    folder, root = labelme_folder(tmp_path / 'a'), tmp_path / 'mine'
    for i in range(5):
        labelme(folder / f'{i}.json', [CAT], imageData=base64_of(folder / f'{i}.png'))
        (folder / f'{i}.png').unlink()
    written = _write(folder, root, link=True)
    for i, one in enumerate(written.images):
        np.testing.assert_array_equal(imread(root / 'images' / one.split / f'{i}.png', channel_order='rgb'), pixels(i))
    assert _write(folder, root).was_there
    content = json.loads((folder / '1.json').read_text())
    (folder / '1.json').write_text(json.dumps(content | dict(imageData=content['imageData'][:100])))
    with pytest.raises(UserError, match=r"1.json: the image .*1.json: 'imageData' "):
        _write(folder, tmp_path / 'other')


@pytest.mark.parametrize('orientation', range(1, 9))
def test_labelme_shows_images_as_their_orientation_says(tmp_path, orientation):
    folder, root = tmp_path / 'a', tmp_path / 'mine'
    turned = orientation >= 5
    size = dict(imageWidth=HEIGHT, imageHeight=WIDTH) if turned else {}
    for name, more in (('0', {}), ('1', dict(orientation=orientation))):
        write_image(folder / f'{name}.jpg', **more)
        labelme(folder / f'{name}.json', [CAT], imagePath=f'{name}.jpg', **(size if more else {}))
    written = _write(folder, root)
    assert written.images[1].size == (SIZE[::-1] if turned else SIZE)
    assert _label(root, '1').shape == imread(next(root.glob('images/*/1.jpg'))).shape[:2]
    if turned:
        labelme(folder / '1.json', [CAT], imagePath='1.jpg')
        with pytest.raises(UserError, match=f'annotated as 13 x 9 pixels, and .*1.jpg has 9 x 13. They are of the '
                                            f'image without its EXIF orientation {orientation}, by which'):
            _write(folder, tmp_path / 'other')


@pytest.mark.parametrize('orientation', range(1, 9))
def test_coco_does_not_say_what_its_images_look_like(tmp_path, orientation):
    box = [dict(segmentation=[[1, 2, 6, 2, 6, 7, 1, 7]])]
    images = [dict(id=i, file_name=f'{i}.jpg', width=WIDTH, height=HEIGHT) for i in (7, 9)]
    coco(tmp_path / 'a.json', box, images=images)
    for i in (7, 9):
        write_image(tmp_path / 'images' / f'{i}.jpg', orientation=orientation if i == 7 else 1)
    annotations = read_coco(tmp_path / 'a.json', tmp_path / 'images')
    if orientation == 1:
        assert _write(tmp_path, tmp_path / 'mine', annotations=annotations, val='0.5')
    else:
        message = 'has 9 x 13. They are of the' if orientation >= 5 else 'COCO does not say whether the annotations'
        with pytest.raises(UserError, match=f'{message}.*\\. Save the image without it'):
            _write(tmp_path, tmp_path / 'mine', annotations=annotations, val='0.5')
    if orientation >= 5:
        images[0] |= dict(width=HEIGHT, height=WIDTH)
        coco(tmp_path / 'a.json', box, images=images)
        assert _write(tmp_path, tmp_path / 'turned', val='0.5',
                      annotations=read_coco(tmp_path / 'a.json', tmp_path / 'images'))


def test_names_with_folders_and_in_all_alphabets(tmp_path):
    folder, root = tmp_path / 'a', tmp_path / 'mine'
    for name in ('sub/a b', 'other/a b', '図', 'é.b'):
        write_image(folder / f'{name}.png')
        labelme(folder / f'{name}.json', [CAT])
    _write(folder, root)
    for kind in ('images', 'labels'):
        found = {path.relative_to(split).as_posix() for split in (root / kind).iterdir()
                 for path in split.rglob('*.png')}
        assert found == {'sub/a b.png', 'other/a b.png', '図.png', 'é.b.png'}


def test_the_config(tmp_path):
    written = _write(labelme_folder(tmp_path / 'a'), tmp_path / 'mine')
    file = tmp_path / 'deep' / 'mine.py'
    write_config(written, file)
    cfg = Config.fromfile(file)
    dataset = cfg.train_dataloader.dataset
    assert (dataset.type, dataset.data_root, dataset.img_suffix) == ('BaseSegDataset', str(tmp_path / 'mine'), '.png')
    assert dataset.metainfo.classes == ('background', 'cat', 'dog')
    assert dataset.data_prefix == dict(img_path='images/train', seg_map_path='labels/train')
    assert len({tuple(colour) for colour in dataset.metainfo.palette}) == 3
    assert {cfg.model.decode_head.num_classes, cfg.model.auxiliary_head.num_classes} == {3}
    # 11 is what CamVid ignores, whose config is the base.
    values = [value for key, value in _items(cfg.to_dict()) if key in ('ignore_index', 'seg_pad_val')]
    assert set(values) == {255}
    write_config(written, file)
    file.write_text(file.read_text() + '# mine\n')
    with pytest.raises(UserError, match=r'mine.py is there with another content, and was not changed'):
        write_config(written, file)


def _items(node):
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        yield key, value
        if isinstance(value, dict | list | tuple):
            yield from _items(value)


def test_names_of_classes_are_quoted(tmp_path):
    folder = labelme_folder(tmp_path / 'a')
    # mmengine replaces what stands in double braces in the text of a config, quotes within and all, before it is run.
    names = ["it's \"{a}\" \\", '{{ fileBasename }}', '{{_base_.model}}', 'ö 図', '{{$A:x"\'}}', '+ exit(7) + "\'']
    labelme(folder / '0.json', [shape(name, 'rectangle', (1, 2), (6, 7)) for name in names])
    written = _write(folder, tmp_path / '{{fileDirname}}')
    write_config(written, tmp_path / 'mine.py')
    dataset = Config.fromfile(tmp_path / 'mine.py').train_dataloader.dataset
    assert dataset.metainfo.classes == written.classes == ('background', *sorted(['cat', 'dog', *names]))
    assert dataset.data_root == str(tmp_path / '{{fileDirname}}')


def test_the_base_is_relative_within_a_working_copy(monkeypatch, tmp_path):
    copy = tmp_path / 'copy'
    (copy / 'configs').mkdir(parents=True)
    monkeypatch.setattr(training_config, 'configs_folder', lambda: copy / 'configs')
    assert base_of(copy / 'mine.py') == 'configs/emanet_r18_camvid.py'
    assert base_of(copy / 'my' / 'mine.py') == '../configs/emanet_r18_camvid.py'
    assert base_of(tmp_path / 'elsewhere' / 'mine.py') == str(copy / 'configs' / 'emanet_r18_camvid.py')
    assert (configs_folder() / training_config.BASE).is_file()


@pytest.mark.parametrize(('size', 'scale', 'crop'), [
    ((480, 360), (480, 360), 256), ((4000, 3000), (1024, 768), 512), ((96, 72), (96, 72), 64),
    ((30, 5000), (6, 1024), 64), ((1, 5000), (1, 1024), 64)])
def test_sizes_to_train_with(size, scale, crop):
    assert scale_of(size) == scale
    assert crop_of(scale) == (crop, crop)


@pytest.mark.parametrize(('name', 'message'), [
    ('mine', r'a config is a file NAME.py'), ('my.mine.py', 'without another dot'), ('folder.py', 'is a folder')])
def test_places_where_no_config_can_be(tmp_path, name, message):
    (tmp_path / 'folder.py').mkdir()
    with pytest.raises(UserError, match=message):
        require_config_place(tmp_path / name)


def test_the_text_fits_the_lines_of_the_base(tmp_path):
    written = _write(labelme_folder(tmp_path / 'a'), tmp_path / 'mine')
    text = config_text(written, tmp_path / 'c.py')
    assert all(len(line) <= 120 for line in text.splitlines() if '_base_' not in line and 'data_root' not in line)
