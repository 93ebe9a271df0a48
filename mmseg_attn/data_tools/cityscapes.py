"""Cityscapes, fine annotations, with the train ids that its 19 classes have."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_folder, atomic_write

from .archives import below, locked, unpack
from .counts import Counts, is_there, require_counts
from .pairs import Pair, check_pairs
from .parallel import run_parallel

IMAGE, LABEL_IDS, TRAIN_IDS = '_leftImg8bit.png', '_gtFine_labelIds.png', '_gtFine_labelTrainIds.png'
IGNORED = 255

# The ids of the classes 0, 1, 2, ... 18, as in cityscapesscripts/helpers/labels.py; all others are ignored.
IDS_OF_CLASSES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
NUM_IDS = 34

HOW_TO_GET = ('It needs an account at https://www.cityscapes-dataset.com/downloads. Put it into {folder}, or say with '
              '--archives where it is')


@dataclass(frozen=True)
class CityscapesLayout:
    """Images in each split."""
    train: int = 2975
    val: int = 500
    test: int = 1525

    def counts(self, suffix: str) -> Counts:
        return {f'{split}/*/*{suffix}': getattr(self, split) for split in ('train', 'val', 'test')}


CITYSCAPES = CityscapesLayout()


def prepare_cityscapes(root: Path, archives: Path, nproc: int, layout: CityscapesLayout = CITYSCAPES) -> None:
    """Makes ``root`` a whole Cityscapes: leftImg8bit, gtFine, and the train ids beside the ids.

    The train ids are made from the id of every pixel, not drawn anew from the polygons, as cityscapesscripts does:
    the official ids were drawn once, by its authors, whereas the pixels of a polygon's edge depend on the version of
    Pillow that draws it.

    Args:
        root: the folder of leftImg8bit and gtFine.
        archives: where leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip are.
        nproc: number of processes.
        layout: what is expected.

    Raises:
        UserError: an archive is missing, or it, or what is there, is damaged or not whole.
    """
    with locked(root):
        for folder, suffix in (('leftImg8bit', IMAGE), ('gtFine', LABEL_IDS)):
            _unpack(root / folder, archives / f'{folder}_trainvaltest.zip', layout.counts(suffix))
        _convert(root, nproc)
        _check(root, nproc)


def _unpack(target: Path, archive: Path, whole: Counts) -> None:
    if is_there(target, whole):
        return
    if not archive.is_file():
        raise UserError(f'{archive} does not exist. {HOW_TO_GET.format(folder=archive.parent)}')
    with atomic_folder(target) as folder:
        unpack(archive, folder, below(target.name))
        require_counts(folder, whole, what=str(archive), advice=f'It is not {archive.name} of cityscapes-dataset.com')


def _convert(root: Path, nproc: int) -> None:
    sources = sorted((root / 'gtFine').glob(f'*/*/*{LABEL_IDS}'))
    written = sum(run_parallel(write_train_ids, sources, nproc, 'Making the train ids', len(sources)))
    print(f'{written:,} label maps of train ids written, {len(sources) - written:,} were there')


def write_train_ids(source: Path) -> bool:
    """Writes the train ids beside a label map of ids, unless the very same are there. Returns whether it did.

    Raises:
        UserError: the label map cannot be read, or holds what is no id.
    """
    try:
        with Image.open(source) as image:
            ids = np.array(image)
    except Exception as error:  # decoders raise whatever they come across
        raise UserError(f'{source} cannot be read ({error}): remove {source.parents[2]} and run again') from error
    if ids.dtype != np.uint8 or ids.ndim != 2 or ids.max() >= NUM_IDS:
        raise UserError(f'{source} holds no ids of Cityscapes (0 to {NUM_IDS - 1}): {ids.dtype}, {ids.shape}, '
                        f'values up to {ids.max()}')
    train_ids = to_train_ids(ids)
    target = source.with_name(source.name.removesuffix(LABEL_IDS) + TRAIN_IDS)
    if _holds(target, train_ids):
        return False
    with atomic_write(target) as partial:
        Image.fromarray(train_ids).save(partial)
    return True


def to_train_ids(ids: np.ndarray) -> np.ndarray:
    """Ids of Cityscapes (0 to 33) to the numbers of the classes, 255 for what is ignored; uint8, of any shape."""
    table = np.full(NUM_IDS, IGNORED, np.uint8)
    table[list(IDS_OF_CLASSES)] = np.arange(len(IDS_OF_CLASSES))
    return table[ids]


def _holds(path: Path, label: np.ndarray) -> bool:
    if not path.is_file():
        return False
    try:
        with Image.open(path) as image:
            return np.array_equal(np.array(image), label)
    except Exception:  # damaged, and so to be written anew
        return False


def _check(root: Path, nproc: int) -> None:
    pairs = []
    for image in sorted((root / 'leftImg8bit').glob(f'*/*/*{IMAGE}')):
        name = image.name.removesuffix(IMAGE)
        label = root / 'gtFine' / image.parent.relative_to(root / 'leftImg8bit') / f'{name}{TRAIN_IDS}'
        pairs.append(Pair(str(image), str(label)))
    values = frozenset({*range(len(IDS_OF_CLASSES)), IGNORED})
    check_pairs(root, pairs, values, nproc, what=str(root), advice=(
        'Remove the folder leftImg8bit or gtFine that the files lie in, and run again'))
