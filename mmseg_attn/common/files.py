"""Files and folders that are written whole or not at all."""

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import UserError

# A folder has its second name only once it is locked, so that no other process takes it for an abandoned one.
NEW, PARTIAL, LOCK, REPLACED = '.new-', '.partial-', '.lock', '.replaced'
SECONDS_TO_LOCK = 600  # more than it can take, on any machine
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A path for writing a file or a folder, which replaces ``path`` when the block has ended without an error.

    It has the name of ``path`` and lies in a hidden folder beside it, which no other process uses. Its content is on
    the disk before it is renamed. After an error nothing has changed. What a killed process left beside ``path`` is
    removed by the next one that writes there. Where ``path`` is a link, what it points to is written.

    Raises:
        UserError: the folder cannot be written to, the disk is full, or a folder would replace a file or the other way
            round.
    """
    name, path = path, Path(os.path.realpath(path))
    if os.path.islink(name) and not path.parent.is_dir():
        raise UserError(f'cannot write {name}: it is a link to {path}, whose folder does not exist; remove the link')
    with _named_errors(name):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned_once(path.parent)
        folder, lock = _locked_folder(path.parent)
    try:
        with _named_errors(name, DISK_ERRORS):
            yield folder / path.name
        with _named_errors(name):
            _flush(folder / path.name)
            _replace(folder / path.name, path, name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.release(force=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """:func:`atomic_write` for a folder, which exists when the block begins."""
    # Folders are few and may be large: what was left of them goes at once, also in a process that has written before.
    _remove_abandoned(Path(os.path.realpath(path)).parent)
    with atomic_write(path) as partial:
        partial.mkdir()
        yield partial


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file in UTF-8 by :func:`atomic_write`."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding='utf-8')


def require_file(path: str | Path, what: str) -> None:
    """
    Raises:
        UserError: there is no ``what`` of this name, or it is a folder.
    """
    if not os.path.isfile(path):
        raise UserError(f'{path} is a folder, not a {what}' if os.path.isdir(path) else f'there is no {what} {path}')


def require_writable(folder: str | Path) -> None:
    """Makes a folder, if it is not there, and checks that files can be written into it, before any work is done.

    Raises:
        UserError: they cannot.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f'cannot write into the folder {folder}: {error.strerror or error}') from error


@contextmanager
def naming_full_disks(folder: str | Path) -> Iterator[None]:
    """For what other libraries write into ``folder``: their errors do not name the file.

    Raises:
        UserError: the disk is full, or cannot be written to.
    """
    with _named_errors(f'into {folder}', DISK_ERRORS):
        yield


@contextmanager
def _named_errors(name: str | Path, numbers: set[int] | None = None) -> Iterator[None]:
    """Errors of the operating system, of these numbers or of any, under the name that the user knows."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        found = _system_error(error)
        if found is None or (found.errno not in numbers if numbers is not None else found is not error):
            raise
        raise UserError(f'cannot write {name}: {found.strerror or found}') from error


def _system_error(error: BaseException | None) -> OSError | None:
    """The error of the operating system behind another: torch.save raises one of its own when the disk is full."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def _locked_folder(parent: Path) -> tuple[Path, FileLock]:
    new = Path(tempfile.mkdtemp(dir=parent, prefix=NEW))
    lock = FileLock(new / LOCK)
    try:
        lock.acquire(timeout=0)
    except NotImplementedError:
        return new, lock  # a file system without locks, where what is abandoned cannot be known and stays
    return new.rename(parent / new.name.replace(NEW, PARTIAL, 1)), lock


def _replace(partial: Path, path: Path, name: str | Path) -> None:
    if partial.is_dir() and path.is_file():
        raise UserError(f'cannot write the folder {name}: there is a file of this name; move it away')
    replaced = partial.with_name(path.name + REPLACED)
    try:
        if partial.is_dir() and path.exists():
            # Moved and not removed first: a rename takes an instant.
            path.rename(replaced)
        os.replace(partial, path)
    except BaseException:
        if replaced.exists():
            replaced.rename(path)
        raise
    _flush_entry(path.parent)


def _flush(path: Path) -> None:
    """Brings a file or a folder to the disk, so that no crash leaves an empty file under the final name."""
    if not path.is_dir():
        with open(path, 'r+b') as file:
            os.fsync(file.fileno())
    elif hasattr(os, 'sync'):
        os.sync()  # one call for all: syncing ten thousand files one by one takes minutes


def _flush_entry(folder: Path) -> None:
    if os.name != 'posix':
        return  # folders cannot be opened
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems cannot
    finally:
        os.close(handle)


@cache
def _remove_abandoned_once(folder: Path) -> None:
    # Once in a process: looking through a folder of a hundred thousand results for every one of them takes hours.
    _remove_abandoned(folder)


def _remove_abandoned(folder: Path) -> None:
    """Removes partial files and folders whose process has ended; what it had moved away comes back."""
    for partial in folder.glob(f'{PARTIAL}*'):
        try:
            with FileLock(partial / LOCK, timeout=0):
                for replaced in partial.glob(f'*{REPLACED}'):
                    name = folder / replaced.name.removesuffix(REPLACED)
                    if not name.exists():
                        replaced.rename(name)
                shutil.rmtree(partial, ignore_errors=True)
        except (Timeout, OSError, NotImplementedError):
            continue  # in use, or just finished
    for new in folder.glob(f'{NEW}*'):
        try:
            if time.time() - new.stat().st_mtime > SECONDS_TO_LOCK:
                shutil.rmtree(new, ignore_errors=True)
        except OSError:
            continue  # it has its second name by now
