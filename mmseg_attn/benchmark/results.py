"""Accuracies of methods, from a file."""

import csv
import json
from itertools import groupby
from pathlib import Path

from mmseg_attn.common.errors import UserError

METHOD_NAMES = ('method', 'head')
ACCURACY = 'mIoU'


def read_accuracies(path: Path) -> dict[str, float]:
    """Method -> mIoU in per cent.

    Args:
        path: JSON (``{"ccnet": 78.5}`` or ``{"ccnet": {"mIoU": 78.5}}``), CSV, or a Markdown table such as the
            ``README.md`` that ``tools/compare.py`` writes; the latter two with the columns ``method`` (or ``head``) and
            ``mIoU``.

    Raises:
        UserError: the file is missing, of another kind, or has something else in it.
    """
    readers = {'.json': _from_json, '.csv': _from_csv, '.md': _from_markdown}
    if path.suffix not in readers:
        raise UserError(f'--results reads {", ".join(readers)}; got {path}')
    try:
        found = readers[path.suffix](path.read_text())
    except OSError as error:
        raise UserError(f'cannot read {path}: {error.strerror}') from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UserError(f'{path} has no accuracies of methods: {error}; expected are {METHOD_NAMES[0]} and '
                        f'{ACCURACY}') from error
    wrong = {method: value for method, value in found.items() if not 0 <= value <= 100}
    if wrong or not found:
        raise UserError(f'{path}: a {ACCURACY} lies between 0 and 100, got {wrong or "none"}')
    if max(found.values()) <= 1:
        raise UserError(f'{path}: a {ACCURACY} is wanted in per cent, and these look like fractions: {found}')
    return found


def _from_json(text: str) -> dict[str, float]:
    return {method: float(value[ACCURACY] if isinstance(value, dict) else value)
            for method, value in json.loads(text).items()}


def _from_csv(text: str) -> dict[str, float]:
    return _from_table(list(csv.reader(text.splitlines(), skipinitialspace=True)))


def _from_markdown(text: str) -> dict[str, float]:
    for is_table, lines in groupby(text.splitlines(), lambda line: line.lstrip().startswith('|')):
        header, *body = [[cell.strip() for cell in line.strip().strip('|').split('|')] for line in lines]
        if is_table and ACCURACY in header and set(METHOD_NAMES) & set(header):
            return _from_table([header, *body[1:]])
    raise ValueError('no such table')


def _from_table(rows: list[list[str]]) -> dict[str, float]:
    header, *body = rows or [[]]
    name = next((name for name in METHOD_NAMES if name in header), None)
    if name is None or ACCURACY not in header:
        raise ValueError(f'its columns are {", ".join(header)}')
    return {row[header.index(name)]: float(row[header.index(ACCURACY)]) for row in body if row}
