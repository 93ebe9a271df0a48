"""ADE20K as the scene parsing benchmark has it (150 classes), in the layout that mmseg expects."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from mmseg_attn.common.errors import UserError

from .copying import copy_data_set, require_number
from .pairs import Pair, check_pairs

SPLITS = ('training', 'validation')
FOLDERS = tuple(f'{kind}/{split}' for kind in ('images', 'annotations') for split in SPLITS)
SUFFIXES = ('.jpg', '.png')
# 0 is no class: mmseg's ADE20KDataset ignores it and counts the others from 0.
VALUES = frozenset(range(151))

HOW_TO_GET = ('ADE20K of the scene parsing benchmark is an archive of 1 GB:\n'
              '  wget http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip\n'
              '  mmseg-attn prepare_data ade20k ADEChallengeData2016.zip')


@dataclass(frozen=True)
class Ade20kLayout:
    """Images in each split."""
    training: int = 20210
    validation: int = 2000


ADE20K = Ade20kLayout()


def prepare_ade20k(root: Path, source: Path | None, nproc: int, layout: Ade20kLayout = ADE20K) -> None:
    """Makes ``root`` a whole ADEChallengeData2016, as a copy of ``source``.

    Args:
        root: where ``images`` and ``annotations`` shall be. If it is there, it is checked, and ``source`` is not
            looked at.
        source: the folder ADEChallengeData2016, or the archive of it.
        nproc: number of processes.
        layout: what is expected.

    Raises:
        UserError: ``source`` is missing; it, or what is there, is damaged or not whole.
    """
    copy_data_set(root, source, FOLDERS, _place, partial(_check, nproc, layout), HOW_TO_GET)


def _place(name: str) -> str | None:
    """Where a file of an archive belongs, whatever folders lie above the four."""
    path = PurePosixPath(name)
    folder = '/'.join(path.parts[-3:-1])
    return f'{folder}/{path.name}' if folder in FOLDERS and path.suffix in SUFFIXES else None


def _check(nproc: int, layout: Ade20kLayout, folder: Path, what: str, advice: str) -> None:
    missing = [name for name in FOLDERS if not (folder / name).is_dir()]
    if missing:
        raise UserError(f'{what} has no folder {missing[0]}, and so is not ADE20K of the scene parsing benchmark. '
                        f'{HOW_TO_GET}')
    pairs = []
    for split in SPLITS:
        images, labels = f'images/{split}', f'annotations/{split}'
        found = sorted((folder / images).glob('*.jpg'))
        require_number(found, getattr(layout, split), images, what, advice)
        require_number(list((folder / labels).glob('*.png')), getattr(layout, split), labels, what, advice)
        pairs += [Pair(str(image), str(folder / labels / f'{image.stem}.png')) for image in found]
    check_pairs(folder, pairs, VALUES, nproc, what, advice)
