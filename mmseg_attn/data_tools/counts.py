"""Tells a whole data set from a part of one by the numbers of its files."""

from pathlib import Path

from mmseg_attn.common.errors import UserError

Counts = dict[str, int]


def count_mismatches(folder: Path, expected: Counts) -> list[str]:
    """Where the files below ``folder`` that match a pattern, such as 'JPEGImages/*.jpg', are more or fewer."""
    found = {pattern: sum(1 for _ in folder.glob(pattern)) for pattern in expected}
    return [f'{found[pattern]:,} instead of {number:,} files {pattern}'
            for pattern, number in expected.items() if found[pattern] != number]


def require_counts(folder: Path, expected: Counts, what: str, advice: str) -> None:
    """
    Raises:
        UserError: the numbers are others. The message calls the files ``what`` and ends with ``advice``.
    """
    wrong = count_mismatches(folder, expected)
    if wrong:
        raise UserError(f'{what} is not whole: {"; ".join(wrong)}.\n  {advice}')


def is_there(folder: Path, expected: Counts) -> bool:
    """Whether ``folder`` holds all files; False where there is no folder, or an empty one.

    Raises:
        UserError: it holds something else.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    require_counts(folder, expected, what=str(folder),
                   advice='Nothing was changed: move it away, or choose another --data-root')
    return True
