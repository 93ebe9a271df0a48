"""Checks of arguments, whose errors name the argument and its value."""

from collections.abc import Sequence

from torch import Tensor


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


def check_shape(name: str, tensor: Tensor, *expected: int | None) -> None:
    """Raises ValueError for a tensor of another shape; None stands for any size."""
    fits = tensor.ndim == len(expected)
    if not fits or any(e is not None and e != side for e, side in zip(expected, tensor.shape, strict=True)):
        sides = ', '.join('any' if side is None else str(side) for side in expected)
        raise ValueError(f'{name} must have the shape ({sides}), got {tuple(tensor.shape)}')


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
