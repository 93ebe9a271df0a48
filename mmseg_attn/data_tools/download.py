"""Downloads a file of known MD5, resuming what was interrupted."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import rich.progress
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from mmseg_attn.common.errors import UserError

CHUNK = 1 << 20
TIMEOUT = 60  # seconds without a byte
# Connections that may break off without having brought anything before it is given up.
MAX_RETRIES = 3


@dataclass(frozen=True)
class RemoteFile:
    """A file that a server has: its name here, its address, its MD5 in hexadecimal."""
    name: str
    url: str
    md5: str


def fetch(remote: RemoteFile, folder: Path, mirror: str | None = None) -> Path:
    """The file in ``folder``, downloaded unless it is there, with the right MD5.

    What an interrupted run has got lies in ``<name>.part``; it is continued, and gets its name when the MD5 is right.

    Args:
        remote: what to get.
        folder: where it is or shall be.
        mirror: address of a folder that has a file of this name, instead of ``remote.url``.

    Raises:
        UserError: the file there, or what was downloaded, has another MD5; the server does not give it.
    """
    target = folder / remote.name
    if target.is_file():
        found = md5_of(target)
        if found != remote.md5:
            raise UserError(f'{target} is damaged or another file: its MD5 is {found}, not {remote.md5}.\n'
                            '  Remove it; the next run downloads it')
        return target
    url = remote.url if mirror is None else f'{mirror.rstrip("/")}/{remote.name}'
    if '://' not in url:
        raise UserError(f'{url!r} is no address: one begins with https:// or http://, or file:// for a folder here')
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + '.part')
    _download(url, part, remote.name)
    found = md5_of(part)
    if found != remote.md5:
        part.unlink()
        raise UserError(f'{url} gave a file of another content: its MD5 is {found}, not {remote.md5}. It was removed.\n'
                        f'  Run again, or get {remote.name} elsewhere and put it into {folder}')
    part.replace(target)
    return target


def md5_of(path: Path) -> str:
    md5 = hashlib.md5(usedforsecurity=False)
    with rich.progress.open(path, 'rb', description=f'Checking {path.name}') as file:
        while chunk := file.read(CHUNK):
            md5.update(chunk)
    return md5.hexdigest()


def _download(url: str, part: Path, name: str) -> None:
    columns = (TextColumn('{task.description}'), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
               TimeRemainingColumn())
    vain = 0
    with Progress(*columns) as progress:
        task = progress.add_task(f'Downloading {name}', total=None)
        while True:
            before = _size(part)
            reason = None
            try:
                for size, total in _continue(url, part):
                    progress.update(task, completed=size, total=total)
            except HTTPError as error:
                raise UserError(f'{url} answers {error.code} {error.reason}.\n'
                                '  Give the address of a mirror with --url, or '
                                f'get the file elsewhere and put it into {part.parent}') from error
            except URLError as error:
                reason = error.reason
            except (TimeoutError, ConnectionError, HTTPException) as error:
                reason = str(error) or type(error).__name__
            if reason is None:
                return
            vain = 0 if _size(part) > before else vain + 1
            if vain == MAX_RETRIES:
                raise UserError(f'downloading {url} failed ({reason}) after {_size(part):,} bytes.\n'
                                '  Run again to continue, give the address of a mirror with --url, or get the file '
                                f'elsewhere and put it into {part.parent}')


def _continue(url: str, part: Path) -> Iterator[tuple[int, int | None]]:
    """Appends what is missing to ``part``. Yields the bytes that are there and, if known, the bytes of the whole.

    Raises:
        ConnectionError: the connection ended before the file.
    """
    start = _size(part)
    headers = {'User-Agent': 'mmseg_attn'} | ({'Range': f'bytes={start}-'} if start else {})
    try:
        response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        if error.code != 416:  # nothing is left to send: whole, which the MD5 will tell, or another file
            raise
        return
    with response:
        if response.status != 206 or not response.headers.get('Content-Range', '').startswith(f'bytes {start}-'):
            start = 0
        length = response.headers.get('Content-Length')
        total = None if length is None else start + int(length)
        _check_space(part, needed=(total or 0) - start)
        with open(part, 'ab' if start else 'wb') as file:
            size = start
            while chunk := response.read(CHUNK):
                file.write(chunk)
                size += len(chunk)
                yield size, total
    if total is not None and size < total:
        raise ConnectionError(f'the connection ended after {size:,} of {total:,} bytes')


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _check_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if needed > free:
        raise UserError(f'{part.parent} has {free / 1e6:,.0f} MB free, and {needed / 1e6:,.0f} MB are needed')
