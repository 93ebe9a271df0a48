"""Unpacks archives."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import rich.progress
from filelock import FileLock, Timeout

from mmseg_attn.common.errors import UserError

CHUNK = 1 << 20
DAMAGES = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError)


def read_archive(path: Path, file: BinaryIO, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Name and content of the plain files in a zip or tar archive, in its order.

    Args:
        path: names the archive in errors.
        file: the archive, open for reading.
        wanted: whether to read the file of this name.

    Raises:
        UserError: the archive is damaged, encrypted, or none.
    """
    members = _zip_members if zipfile.is_zipfile(file) else _tar_members
    file.seek(0)
    place = 'its beginning'
    try:
        for name, read in members(file):
            place = name
            if wanted(name):
                yield name, read()
    except DAMAGES as error:
        reason = 'neither zip nor tar' if '\n' in str(error) else error  # tarfile lists all that it has tried
        raise UserError(f'the archive {path} is damaged at {place} ({reason}): remove it and get it again') from error
    except (RuntimeError, NotImplementedError) as error:  # a password, or a compression that zipfile does not know
        raise UserError(f'{place} in the archive {path} cannot be read: {error}') from error


def unpack(path: Path, target: Path, place_of: Callable[[str], str | None]) -> None:
    """Writes the files of an archive into the folder ``target``.

    Args:
        path: the archive.
        target: where to.
        place_of: the path under ``target`` for a name in the archive; None leaves it out.

    Raises:
        UserError: the archive is damaged, or a file would land outside ``target`` or on another one.
    """
    with rich.progress.open(path, 'rb', description=f'Unpacking {path.name}') as file:
        for name, content in read_archive(path, file, lambda name: place_of(name) is not None):
            place = place_of(name)
            if place.startswith('/') or '\\' in place or '..' in PurePosixPath(place).parts:
                raise UserError(f'the archive {path} names a file outside its own folder, {name!r}: do not trust it')
            out = target / place
            out.parent.mkdir(parents=True, exist_ok=True)
            if out.exists():
                raise UserError(f'the archive {path} holds {place} twice, the second time as {name}')
            out.write_bytes(content)


def below(folder: str) -> Callable[[str], str | None]:
    """For ``unpack``: what lies below a folder of the archive, without that folder."""
    return lambda name: name.removeprefix(f'{folder}/') if name.startswith(f'{folder}/') else None


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Keeps two runs from preparing the same folder at once.

    Raises:
        UserError: another run is at it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(target.with_name(target.name + '.lock'), timeout=0):
            yield
    except Timeout as error:
        raise UserError(f'another run is preparing {target}: wait for it') from error


def _zip_members(file: BinaryIO) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield info.filename, lambda info=info: archive.read(info)


def _tar_members(file: BinaryIO) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with tarfile.open(fileobj=file) as archive:
        for member in archive:
            if member.isfile():
                yield member.name.removeprefix('./'), lambda member=member: archive.extractfile(member).read()
        # The checksum of a compressed archive comes last, where tarfile does not look.
        while archive.fileobj.read(CHUNK):
            pass
