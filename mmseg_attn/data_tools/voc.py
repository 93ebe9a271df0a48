"""PASCAL VOC 2012 with the annotations of SBD, in the layout that mmseg and its configs expect."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from PIL import Image

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_folder, write_text

from .archives import below, locked, read_archive, unpack
from .counts import is_there, require_counts
from .download import RemoteFile, fetch
from .pairs import Pair, check_pairs
from .parallel import run_parallel

LISTS = 'ImageSets/Segmentation'
LABELS, AUG_LABELS = 'SegmentationClass', 'SegmentationClassAug'
VALUES = frozenset({*range(21), 255})


@dataclass(frozen=True)
class VocLayout:
    """The archives, and the numbers of what they hold.

    ``trainaug`` are the training images of VOC and those of SBD, whose own two lists together name all its label maps,
    without the validation images of VOC.
    """
    voc: RemoteFile
    sbd: RemoteFile
    images: int
    labels: int
    train: int
    val: int
    sbd_labels: int
    trainaug: int


# Addresses and checksums as in torchvision.datasets. Its train_noval.txt is not needed: it follows from the others.
VOC2012 = VocLayout(
    voc=RemoteFile('VOCtrainval_11-May-2012.tar',
                   'http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar',
                   '6cd6e144f989b92b3379bac3b3de84fd'),
    sbd=RemoteFile('benchmark.tgz',
                   'https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz',
                   '82b4d87ceb2ed10f6038a1cba92111cb'),
    images=17125, labels=2913, train=1464, val=1449, sbd_labels=11355, trainaug=10582)


def prepare_voc(root: Path, archives: Path, mirror: str | None, nproc: int, layout: VocLayout = VOC2012) -> None:
    """Makes ``root`` a whole VOC2012 with ``SegmentationClassAug``, ``aug.txt`` and ``trainaug.txt``.

    What is there already is kept and checked. A folder gets its name when it is whole.

    Args:
        root: the folder VOC2012.
        archives: where the archives are or shall be downloaded to.
        mirror: address of a folder with both archives, instead of the official ones.
        nproc: number of processes.
        layout: what is expected.

    Raises:
        UserError: an archive, or what is there, is damaged or not whole.
    """
    with locked(root):
        _unpack_voc(root, archives, mirror, layout)
        _convert_sbd(root, archives, mirror, nproc, layout)
        _write_lists(root, layout)
        _check(root, nproc)


def _unpack_voc(root: Path, archives: Path, mirror: str | None, layout: VocLayout) -> None:
    whole = {'JPEGImages/*.jpg': layout.images, f'{LABELS}/*.png': layout.labels, f'{LISTS}/train.txt': 1,
             f'{LISTS}/val.txt': 1}
    if is_there(root, whole):
        return
    archive = fetch(layout.voc, archives, mirror)
    with atomic_folder(root) as folder:
        unpack(archive, folder, below('VOCdevkit/VOC2012'))
        require_counts(folder, whole, what=str(archive), advice='It is not the archive of VOC2012')


def _convert_sbd(root: Path, archives: Path, mirror: str | None, nproc: int, layout: VocLayout) -> None:
    whole = {'*.png': layout.sbd_labels}
    if is_there(root / AUG_LABELS, whole):
        return
    _require_scipy()
    archive = fetch(layout.sbd, archives, mirror)
    with atomic_folder(root / AUG_LABELS) as folder, open(archive, 'rb') as file:
        labels = _labels_of_sbd(archive, file)
        for _ in run_parallel(partial(convert_label, folder), labels, nproc, 'Converting SBD', layout.sbd_labels):
            pass
        require_counts(folder, whole, what=str(archive), advice='It is not the archive of SBD')


def _labels_of_sbd(archive: Path, file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    return read_archive(archive, file, lambda name: name.endswith('.mat') and PurePosixPath(name).parent.name == 'cls')


def convert_label(folder: Path, source: tuple[str, bytes]) -> None:
    """Writes one of SBD's label maps, name and content of a .mat file, as PNG into ``folder``."""
    from scipy.io import loadmat
    name, content = source
    try:
        label = loadmat(io.BytesIO(content), variable_names=['GTcls'])['GTcls']['Segmentation'][0, 0]
    except Exception as error:  # scipy raises whatever it comes across
        raise UserError(f'{name} in the archive of SBD cannot be read: {error}') from error
    if label.ndim != 2 or label.min() < 0 or label.max() > 20:
        raise UserError(f'{name} in the archive of SBD is no label map of VOC: {label.shape}, '
                        f'values up to {label.max()}')
    Image.fromarray(label.astype(np.uint8)).save(folder / f'{PurePosixPath(name).stem}.png')


def _require_scipy() -> None:
    try:
        import scipy.io  # noqa: F401
    except ImportError as error:
        raise UserError('SBD comes as files of MATLAB, which scipy reads: pip install scipy') from error


def _write_lists(root: Path, layout: VocLayout) -> None:
    train, val = (_read_list(root / LISTS / f'{split}.txt') for split in ('train', 'val'))
    sbd = {path.stem for path in (root / AUG_LABELS).glob('*.png')}
    aug = sorted(sbd - train - val)
    trainaug = sorted((sbd | train) - val)
    for name, found, number in (('train', train, layout.train), ('val', val, layout.val),
                                ('trainaug', trainaug, layout.trainaug)):
        if len(found) != number:
            raise UserError(f'the list {name} of VOC and SBD together has {len(found):,} images instead of {number:,}: '
                            f'{root / LISTS} or {root / AUG_LABELS} is not what it should be; remove {root}, run again')
    for name, lines in (('aug', aug), ('trainaug', trainaug)):
        _write_list(root / LISTS / f'{name}.txt', lines)


def _read_list(path: Path) -> set[str]:
    return set(path.read_text().split())


def _write_list(path: Path, lines: list[str]) -> None:
    if path.exists() and _read_list(path) != set(lines):
        raise UserError(f'{path} is there and names other images: move it away')
    write_text(path, '\n'.join(lines) + '\n')


def _check(root: Path, nproc: int) -> None:
    pairs = [Pair(str(root / 'JPEGImages' / f'{name}.jpg'), str(root / labels / f'{name}.png'))
             for split, labels in (('train', LABELS), ('aug', AUG_LABELS), ('val', LABELS))
             for name in sorted(_read_list(root / LISTS / f'{split}.txt'))]
    check_pairs(root, pairs, VALUES, nproc, what=str(root), advice=(
        f'Remove {AUG_LABELS} in it if the files lie there, all of it otherwise, and run again'))
