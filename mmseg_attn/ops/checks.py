"""Checks of arguments, whose errors name the argument and its value."""

from collections.abc import Sequence


def check_positive(**arguments: int | None) -> None:
    """Raises ValueError for an argument that is neither a positive integer nor None."""
    for name, value in arguments.items():
        if value is not None and not _is_positive(value):
            raise ValueError(f'{name} must be a positive integer, got {value!r}')


def check_all_positive(**arguments: Sequence[int]) -> None:
    """Raises ValueError for an argument that is no sequence of positive integers, or an empty one."""
    for name, values in arguments.items():
        if not isinstance(values, Sequence) or not values or not all(map(_is_positive, values)):
            raise ValueError(f'{name} must be a sequence of positive integers, got {values!r}')


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
