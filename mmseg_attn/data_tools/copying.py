"""A data set that is taken over as it is, from a folder or an archive of it."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_folder

from .archives import locked, unpack

Check = Callable[[Path, str, str], None]


def copy_data_set(root: Path, source: Path | None, folders: Sequence[str], place: Callable[[str], str | None],
                  check: Check, how_to_get: str) -> None:
    """Makes ``root`` a whole data set, as a copy of ``source``.

    Args:
        root: where its folders shall be. If it is there, it is checked, and ``source`` not looked at.
        source: a folder with these folders, or an archive of it.
        folders: of the data set, below ``root``.
        place: the name of a file in an archive -> its place below ``root``, or None.
        check: (folder, what it is called, advice) raises UserError if something is missing or damaged.
        how_to_get: where users get the data set.

    Raises:
        UserError: ``source`` is missing; it, or what is there, is damaged or not whole.
    """
    with locked(root):
        if root.is_dir() and any(root.iterdir()):
            check(root, str(root), 'Move it away, and run again with a source that is whole')
            if source is not None:
                print(f'{root} was there, so nothing was copied from {source}')
        elif source is None:
            raise UserError(f'{root} does not exist, and no source is given. {how_to_get}')
        elif not source.exists():
            raise UserError(f'{source} does not exist. {how_to_get}')
        elif source.is_dir():
            check(source, str(source), 'Get it again')
            with atomic_folder(root) as folder:
                for name in folders:
                    shutil.copytree(source / name, folder / name)
        else:
            with atomic_folder(root) as folder:
                unpack(source, folder, place)
                check(folder, str(source), 'Get it again')


def require_number(found: Sequence, expected: int, name: str, what: str, advice: str) -> None:
    """Raises UserError unless a folder has as many images as it should."""
    if len(found) != expected:
        raise UserError(f'{what} is not whole: {name} has {len(found)} images instead of {expected}.\n  {advice}')
