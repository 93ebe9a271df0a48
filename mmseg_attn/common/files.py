"""Files and folders that are written whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import UserError

PREFIX, LOCK = '.partial-', '.lock'


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A path for writing a file or a folder, which replaces ``path`` when the block has ended without an error.

    It has the name of ``path`` and lies in a hidden folder beside it, which no other process uses. Its content is on
    the disk before it is renamed. After an error nothing has changed. What a killed process left beside ``path`` is
    removed by the next one that writes there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned_once(path.parent.resolve())
    folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=PREFIX))
    try:
        with FileLock(folder / LOCK):
            partial = folder / path.name
            yield partial
            _flush(partial)
            if partial.is_dir() and path.exists():
                # Moved and not removed first: a rename takes an instant.
                path.rename(folder / f'{path.name}.replaced')
            os.replace(partial, path)
            _flush_entry(path.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """:func:`atomic_write` for a folder, which exists when the block begins."""
    _remove_abandoned(Path(path).parent)
    with atomic_write(path) as partial:
        partial.mkdir()
        yield partial


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file in UTF-8 by :func:`atomic_write`."""
    with atomic_write(path) as partial:
        partial.write_text(text, encoding='utf-8')


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


def _flush(path: Path) -> None:
    """Brings a file or a folder to the disk, so that no crash leaves an empty file under the final name."""
    if path.is_dir():
        # One call for all: syncing ten thousand files one by one takes minutes.
        os.sync() if hasattr(os, 'sync') else None
        return
    with open(path, 'r+b') as file:
        os.fsync(file.fileno())


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
    """Removes partial files and folders whose process has ended."""
    for partial in folder.glob(f'{PREFIX}*'):
        if not (partial / LOCK).exists():
            continue  # another process is about to lock it
        try:
            with FileLock(partial / LOCK, timeout=0):
                shutil.rmtree(partial, ignore_errors=True)
        except (Timeout, OSError):
            continue
