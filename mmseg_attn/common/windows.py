"""Where sliding windows lie in an image."""

from itertools import product


def windows(size: tuple[int, int], crop_size: tuple[int, int], stride: tuple[int, int]) -> list[tuple[slice, slice]]:
    """The rows and columns of all windows, in the order in which mmseg's sliding inference takes them.

    The last window along a side ends with the image. A window is smaller than ``crop_size`` only where the image is.

    Args:
        size: height and width of the image.
        crop_size: height and width of a window.
        stride: rows and columns from one window to the next.
    """
    rows, columns = map(_along, size, crop_size, stride)
    return list(product(rows, columns))


def _along(size: int, crop: int, stride: int) -> list[slice]:
    last = max(size - crop, 0)
    return [slice(start, min(start + crop, size)) for start in (*range(0, last, stride), last)]
