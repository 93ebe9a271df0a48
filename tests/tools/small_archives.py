"""Small archives in the true layouts of PASCAL VOC 2012, SBD and Cityscapes."""

import io
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_attn.data_tools.cityscapes import CityscapesLayout
from mmseg_attn.data_tools.download import RemoteFile, md5_of
from mmseg_attn.data_tools.voc import VocLayout

HEIGHT, WIDTH = 5, 7
VOC_TAR, SBD_TGZ = 'VOCtrainval_11-May-2012.tar', 'benchmark.tgz'

# SBD has some of VOC's training and validation images, in no order, and images of its own.
VOC_TRAIN = [f'2007_{i:06d}' for i in (3, 1, 2)]
VOC_VAL = ['2008_000011', '2008_000010']
SBD_TRAIN = ['2010_000005', '2007_000002', '2008_000010', '2010_000004']
SBD_VAL = ['2009_000009', '2007_000001', '2010_000001', '2009_000008']
NO_LABEL = ['2011_000001', '2011_000002']
AUG = ['2009_000008', '2009_000009', '2010_000001', '2010_000004', '2010_000005']
TRAINAUG = ['2007_000001', '2007_000002', '2007_000003', *AUG]

SPLITS = {'train': [('aachen', 0), ('aachen', 1), ('bochum', 0)], 'val': [('frankfurt', 0)],
          'test': [('berlin', 0), ('berlin', 1)]}


def picture(seed: int) -> bytes:
    pixels = np.random.RandomState(seed).randint(256, size=(HEIGHT, WIDTH, 3))
    return encoded(Image.fromarray(pixels.astype(np.uint8)), 'JPEG')


def label(seed: int, values: Iterable[int]) -> np.ndarray:
    return np.random.RandomState(seed).choice(np.array(list(values), np.uint8), size=(HEIGHT, WIDTH))


def encoded(image: Image.Image, kind: str = 'PNG') -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def label_of_sbd(name: str) -> np.ndarray:
    return label(int(name[-3:]) + 100, range(21))


def write_tar(path: Path, files: dict[str, bytes], mode: str = 'w') -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def make_voc(folder: Path) -> VocLayout:
    """Writes both archives into ``folder``; what they hold, as the tool expects it of the real ones."""
    names = sorted({*VOC_TRAIN, *VOC_VAL, *SBD_TRAIN, *SBD_VAL, *NO_LABEL})
    root = 'VOCdevkit/VOC2012'
    files = {f'{root}/Annotations/{names[0]}.xml': b'<annotation/>'}
    files |= {f'{root}/JPEGImages/{name}.jpg': picture(i) for i, name in enumerate(names)}
    for i, name in enumerate([*VOC_TRAIN, *VOC_VAL]):
        files[f'{root}/SegmentationClass/{name}.png'] = encoded(Image.fromarray(label(i, [0, 3, 20, 255])))
    for split, names_of_split in (('train', VOC_TRAIN), ('val', VOC_VAL)):
        files[f'{root}/ImageSets/Segmentation/{split}.txt'] = '\n'.join([*names_of_split, '']).encode()
    write_tar(folder / VOC_TAR, files)
    write_tar(folder / SBD_TGZ, files_of_sbd(), 'w:gz')
    return layout_of_voc(folder, images=len(names))


def layout_of_voc(folder: Path, images: int) -> VocLayout:
    voc, sbd = (RemoteFile(name, f'http://127.0.0.1:9/{name}', md5_of(folder / name)) for name in (VOC_TAR, SBD_TGZ))
    return VocLayout(voc, sbd, images=images, labels=5, train=3, val=2, sbd_labels=8, trainaug=8)


def files_of_sbd() -> dict[str, bytes]:
    root = 'benchmark_RELEASE/dataset'
    files = {'benchmark_RELEASE/README': b'', f'{root}/img/{SBD_TRAIN[0]}.jpg': picture(0)}
    for split, names in (('train', SBD_TRAIN), ('val', SBD_VAL)):
        files[f'{root}/{split}.txt'] = '\n'.join([*names, '']).encode()
    for name in [*SBD_TRAIN, *SBD_VAL]:
        files[f'{root}/cls/{name}.mat'] = as_mat(label_of_sbd(name))
        files[f'{root}/inst/{name}.mat'] = as_mat(label_of_sbd(name))
    return files


def as_mat(segmentation: np.ndarray) -> bytes:
    from scipy.io import savemat
    out = io.BytesIO()
    savemat(out, {'GTcls': {'Segmentation': segmentation, 'CategoriesPresent': np.unique(segmentation)}})
    return out.getvalue()


def make_cityscapes(folder: Path) -> CityscapesLayout:
    images, labels = {'README': b'', 'license.txt': b''}, {'README': b'', 'license.txt': b''}
    for split, frames in SPLITS.items():
        for city, number in frames:
            stem = f'{city}_{number:06d}_000019'
            image = encoded(Image.fromarray(np.full((HEIGHT, WIDTH, 3), number, np.uint8)))
            ids = ids_of(city, number)
            images[f'leftImg8bit/{split}/{city}/{stem}_leftImg8bit.png'] = image
            labels[f'gtFine/{split}/{city}/{stem}_gtFine_labelIds.png'] = encoded(Image.fromarray(ids))
            labels[f'gtFine/{split}/{city}/{stem}_gtFine_color.png'] = image
            labels[f'gtFine/{split}/{city}/{stem}_gtFine_polygons.json'] = b'{}'
    write_zip(folder / 'leftImg8bit_trainvaltest.zip', images)
    write_zip(folder / 'gtFine_trainvaltest.zip', labels)
    return CityscapesLayout(**{split: len(frames) for split, frames in SPLITS.items()})


def ids_of(city: str, number: int) -> np.ndarray:
    return label(len(city) * 10 + number, range(34))


def make_camvid(folder: Path, counts: dict[str, int], suffix: str = '.png') -> None:
    for seed, (split, number) in enumerate(counts.items()):
        for kind in ('', 'annot'):
            (folder / f'{split}{kind}').mkdir(parents=True)
        for i in range(number):
            Image.fromarray(label(seed, range(256)).repeat(3).reshape(HEIGHT, WIDTH, 3)).save(
                folder / split / f'{split}_{i:02d}{suffix}')
            values = np.arange(HEIGHT * WIDTH, dtype=np.uint8).reshape(HEIGHT, WIDTH) % 12
            Image.fromarray(values).save(folder / f'{split}annot' / f'{split}_{i:02d}.png')


def tree(root: Path) -> dict[str, bytes]:
    """All files below a folder; the locks of a run are no part of what it makes."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob('*'))
            if path.is_file() and path.suffix != '.lock' and path.name != '.lock'}


def make_ade20k(folder: Path, counts: dict[str, int]) -> None:
    for split, number in counts.items():
        for kind in 'images', 'annotations':
            (folder / kind / split).mkdir(parents=True)
        for i in range(number):
            name = f'ADE_{dict(training="train", validation="val")[split]}_{i + 1:08d}'
            (folder / 'images' / split / f'{name}.jpg').write_bytes(picture(i))
            Image.fromarray(label(i, range(151))).save(folder / 'annotations' / split / f'{name}.png')
