"""TIFF that is no picture of 8 or 16 bits in grey or colours: many bands, fractions, whole numbers with a sign.

mmcv reads it by tifffile, and every value matters, so that the config needs their mean and deviation.
"""

import io
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from PIL import Image

from mmseg_attn.common.image_files import TIFF, ImageFileError, reason_of

from .content import Size

MAGIC = (*TIFF, b'II+\0', b'MM\0+')  # the last two of BigTIFF
PAGE = '"Images of other kinds" in docs/your_own_data.md'


@dataclass(frozen=True)
class Bands:
    """The finite values of each band, of one image or several: how many, their sum, and that of their squares."""
    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    finite: bool = True

    def __add__(self, other: 'Bands') -> 'Bands':
        return Bands(self.counts + other.counts, self.sums + other.sums, self.squares + other.squares,
                     self.finite and other.finite)

    @property
    def mean(self) -> np.ndarray:
        return self.sums / np.maximum(self.counts, 1)

    @property
    def std(self) -> np.ndarray:
        """1 for a band that has one value everywhere, which only has to become 0."""
        variance = self.squares / np.maximum(self.counts, 1) - self.mean**2
        constant = variance <= 1e-12 * np.maximum(self.mean**2, 1e-12)
        return np.where(constant, 1, np.sqrt(np.maximum(variance, 0)))


def has_bands(data: bytes) -> bool:
    """Whether a file is such a TIFF, by its head. Where tifffile is not installed, none is."""
    if not data.startswith(MAGIC):
        return False
    try:
        if Image.open(io.BytesIO(data)).mode not in ('F', 'I'):
            return False
    except Exception:  # of no kind that Pillow knows
        pass
    try:
        import tifffile
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            return page.samplesperpixel not in (1, 3) or page.dtype not in (np.uint8, np.uint16)
    except Exception:  # not installed, or damaged
        return False


def read_bands(data: bytes) -> np.ndarray:
    """(H, W, bands) as mmcv reads it.

    Raises:
        ImageFileError: it is damaged, or has several pages, or the bands in the first axis.
    """
    import tifffile
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            array, axes = file.asarray(), file.series[0].axes
    except Exception as error:  # decoders raise whatever they come across
        raise ImageFileError(reason_of(error)) from error
    if axes not in ('YX', 'YXS'):
        shape = ' x '.join(map(str, array.shape))
        raise ImageFileError(f'has the axes {axes} of {shape}, and bands must be in the last one: save it as YXS, '
                             f'which GDAL calls INTERLEAVE=PIXEL. {PAGE} says more')
    if array.dtype.kind not in 'biuf':
        raise ImageFileError(f'has values of the type {array.dtype}, which PyTorch cannot be trained on')
    return array.reshape(*array.shape[:2], -1)


def missing_reader(suffix: str) -> str:
    """What an error of an image adds where tifffile is not there to read it."""
    if suffix.lower() not in ('.tif', '.tiff') or find_spec('tifffile') is not None:
        return ''
    return f'. TIFF of many bands or fractions is read after pip install tifffile: {PAGE}'


def size_of_bands(data: bytes) -> tuple[Size, bool]:
    """Width and height, and that no EXIF orientation turns them: tifffile knows none."""
    height, width = read_bands(data).shape[:2]
    return (width, height), False


def measure(array: np.ndarray) -> Bands:
    rows = []
    for band in range(array.shape[2]):
        values = array[..., band].astype(np.float64)
        values = values[np.isfinite(values)]
        rows.append((values.size, values.sum(), (values**2).sum()))
    counts, sums, squares = np.array(rows).T
    return Bands(counts, sums, squares, bool((counts == array.shape[0] * array.shape[1]).all()))
