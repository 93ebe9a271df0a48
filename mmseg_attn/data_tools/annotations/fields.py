"""Values in files that others wrote: each is what it should be, or an error names the file, the place and the value.

``where`` is the place in all of these functions, such as "a.json: shape 3 ('car')".
"""

import json
import unicodedata
from pathlib import Path, PurePosixPath

import numpy as np

from mmseg_attn.common.errors import UserError

FARTHEST = 1e6  # pixels; what is farther from the image than that is no slip of the hand
LARGEST = 1 << 20  # pixels of a side
LONGEST_PATH, LONGEST_NAME = 1000, 250  # characters, bytes; few file systems take longer ones
SHOWN = 60

KINDS = {dict: 'an object {...}', list: 'a list [...]', str: 'a text', int: 'a whole number'}


def read_text(path: Path) -> str:
    """
    Raises:
        UserError: the file cannot be read, or is not in UTF-8.
    """
    try:
        return path.read_bytes().decode('utf-8-sig')
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror or error}') from error
    except UnicodeDecodeError as error:
        raise UserError(f'{path} is not in UTF-8 (byte {error.start:,}): save it in UTF-8') from error


def read_json(path: Path) -> dict:
    """The object in a file of JSON.

    Raises:
        UserError: the file is damaged, or holds something else.
    """
    try:
        content = json.loads(read_text(path), parse_constant=_no_number)
    except RecursionError as error:
        raise UserError(f'{path} is no annotation file: brackets within brackets without end') from error
    except UserError:
        raise
    except ValueError as error:
        raise UserError(f'{path} is damaged, or no JSON: {error}. Export or save it again') from error
    return require(content, dict, str(path))


def _no_number(name: str) -> None:
    raise ValueError(f'{name} is no number of JSON')


def field(node: dict, key: str, kind: type, where: str) -> object:
    """``node[key]``, which must be of a type of :data:`KINDS`.

    Raises:
        UserError: it is missing, or something else.
    """
    if key not in node:
        there = ', '.join(map(shown, list(node)[:8])) or 'nothing'
        raise UserError(f'{where} has no {key!r}, but {there}')
    return require(node[key], kind, f'{where}: {key!r}')


def require(value: object, kind: type, where: str) -> object:
    # Programs that keep numbers in tables write 64.0 for 64.
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    # True is an int for Python.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f'{where} must be {KINDS[kind]}, and is {shown(value)}')
    return value


def label_of(node: dict, key: str, where: str) -> str:
    label = field(node, key, str, where).strip()
    if not label or not _can_be_written(label):
        raise UserError(f'{where}: {key!r} must be the name of a class, and is {shown(node[key])}')
    return label


def _can_be_written(text: str) -> bool:
    """Whether there are no control characters in it, and no halves of characters, which JSON can hold."""
    return not {'Cc', 'Cs'} & {unicodedata.category(character) for character in text}


def side_of(value: object, where: str) -> int:
    """Width or height of an image in pixels."""
    side = require(value, int, where)
    if not 1 <= side <= LARGEST:
        raise UserError(f'{where} must be from 1 to {LARGEST:,} pixels, and is {shown(value)}')
    return side


def number_of(value: object, where: str) -> float:
    """A coordinate or length in pixels.

    Raises:
        UserError: it is no number, or none that an image can have.
    """
    # Only nan is not equal to itself; math.isnan fails on whole numbers that are too long for a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise UserError(f'{where}: {shown(value)} is no number')
    if abs(value) > FARTHEST:
        raise UserError(f'{where}: {shown(value)} is farther away than {FARTHEST:,.0f} pixels')
    return float(value)


def parsed_number(text: str, where: str) -> float:
    """:func:`number_of` of a text, as in XML."""
    try:
        number = float(text)
    except ValueError as error:
        raise UserError(f'{where}: {shown(text)} is no number') from error
    return number_of(number, where)


def points_of(value: object, where: str, least: int, most: int | None = None) -> np.ndarray:
    """A list of points [x, y] as (N, 2), float64.

    Raises:
        UserError: it is none, or N is less than ``least`` or more than ``most``.
    """
    require(value, list, where)
    for i, point in enumerate(value):
        if not isinstance(point, list) or len(point) != 2:
            raise UserError(f'{where}: point {i + 1} must be [x, y], and is {shown(point)}')
    if len(value) < least or (most is not None and len(value) > most):
        wanted = f'{least}' if most == least else f'at least {least}' if most is None else f'{least} to {most}'
        raise UserError(f'{where}: {wanted} points are needed, and there are {len(value)}. Correct or remove the shape')
    return np.array([[number_of(number, f'{where}: point {i + 1}') for number in point]
                     for i, point in enumerate(value)], float).reshape(-1, 2)


def inner_path(name: str, where: str) -> PurePosixPath:
    """A path from an annotation file, which must stay inside the folder that it is in. Windows' ``\\`` is a ``/``.

    Raises:
        UserError: it is absolute, leaves the folder, or has a part that begins with a dot, which mmseg passes over.
    """
    path = PurePosixPath(name.replace('\\', '/'))
    if not path.name or not _can_be_written(name):
        raise UserError(f'{where}: {shown(name)} is no name of a file')
    if path.is_absolute() or '..' in path.parts or has_drive(name):
        raise UserError(f'{where}: {shown(name)} lies outside of the folder of the images')
    if len(str(path)) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in path.parts):
        raise UserError(f'{where}: {shown(name)} is too long for the name of a file')
    if any(part.startswith('.') for part in path.parts):
        raise UserError(f'{where}: {shown(name)} begins with a dot, and mmseg passes over such files: rename it')
    return path


def has_drive(name: str) -> bool:
    """Whether it begins in the root of a drive of Windows, such as ``C:``."""
    return name[1:2] == ':' and name[0].isalpha()


def find_file(folder: Path, path: PurePosixPath) -> Path:
    """A file of this name, however its accents are encoded; where there is none, the path as it is named."""
    forms = [str(path), *(unicodedata.normalize(form, str(path)) for form in ('NFC', 'NFD'))]
    return next((folder / form for form in forms if (folder / form).is_file()), folder / path)


def shown(value: object) -> str:
    """A value for a message, cut where it is long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**SHOWN:
        return 'a number of very many digits'
    text = repr(value[:SHOWN] if isinstance(value, str | list) else value)
    return text if len(text) <= SHOWN else f'{text[:SHOWN]}...'
