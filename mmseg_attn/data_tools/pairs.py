"""Reads an image and its label map as training does, and says what is wrong with them."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_attn.common.display import displayable
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.image_files import (
    ImageFileError,
    bytes_of,
    decode,
    hint_at,
    image_size,
    is_deep,
    number_of_pages,
    read_bytes,
    reason_of,
    what_else,
)

from .parallel import run_parallel

MISSING_IMAGE = 'missing image'
MISSING_LABEL = 'missing label map'
BROKEN_IMAGE = 'unreadable image'
UNLOADED_IMAGE = 'image that its steps cannot load'
OTHER_IMAGE = 'image of another kind'
OTHER_LABEL = 'label map of another kind'
BANDS_FIRST = 'bands in the first axis'
DEEP = 'more than 8 bits'
PAGES = 'several pages'
BROKEN_LABEL = 'unreadable label map'
OTHER_SIZE = 'size mismatch'
THIN = 'label map with a side of 1 pixel'
CHANNELS = 'label map with several channels'
FRACTIONS = 'label map with fractions'
REFUSED = 'label map that training refuses'
OTHER_VALUES = 'label map with values that are no classes'

TIFF_SUFFIXES = '.tif', '.tiff'
# More colours than any palette has; enough to tell a palette from a photograph.
MOST_COLOURS = 300


@dataclass(frozen=True)
class Pair:
    """Paths of an image and its label map; ``label`` is None where the data set has none.

    ``steps`` load the image, where that is not what mmcv's LoadImageFromFile does by default, and ``label_steps`` the
    labels, where that is not what mmseg's LoadAnnotations does; ``told`` is what the data set tells both. Without
    steps, ``size_of`` reads the size of the image.
    """
    image: str
    label: str | None
    backend_args: dict | None = field(default=None, compare=False)
    steps: tuple[dict, ...] = field(default=(), compare=False)
    label_steps: tuple[dict, ...] = field(default=(), compare=False)
    told: dict = field(default_factory=dict, compare=False)
    size_of: Callable[[bytes], tuple[tuple[int, int], bool]] = field(default=image_size, compare=False)


@dataclass(frozen=True)
class Problem:
    kind: str
    path: str
    detail: str


@dataclass
class PairContent:
    """What was found in the files of a pair.

    Attributes:
        pair: the paths.
        size: (width, height) of the image, turned as its EXIF orientation says.
        values: raw value of the label map -> number of pixels; empty if it could not be read. Where the config has
            steps of its own for labels, what they make of it.
        colours: some of the colours (red, green, blue) of a label map that has channels.
        mode: Pillow's name for the kind of the label map's pixels, such as 'L'.
        lossy: whether the label map is a JPEG.
        channels: of the image as it is loaded; 0 if it could not be read.
        is_finite: whether all values of the image are.
        range: of what kind its values are, if not of 8 bits; see ``eight_bits.range_of``.
        shape: of the image, where steps of the config load it.
        problems: what is wrong.
        losses: what is read of the image, and what is not.
    """
    pair: Pair
    size: tuple[int, int] | None = None
    values: dict[int, int] = field(default_factory=dict)
    colours: list[tuple[int, ...]] = field(default_factory=list)
    mode: str = ''
    lossy: bool = False
    channels: int = 0
    is_finite: bool = True
    range: str = ''
    shape: tuple[int, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    losses: list[Problem] = field(default_factory=list)


def read_pair(pair: Pair) -> PairContent:
    """Decodes both files down to the last pixel."""
    content = PairContent(pair)
    turned = _read_image(content)
    if pair.label is not None:
        label_size = _load_label(content) if pair.label_steps else _read_label(content)
        if content.size and label_size and content.size != label_size:
            if content.shape[1:] == label_size[::-1]:
                content.problems.append(Problem(BANDS_FIRST, pair.image, f'its shape is {content.shape}'))
                return content
            detail = f'label map {_by(label_size)}, image {_by(content.size)}'
            if turned:
                detail += ' (turned by its EXIF orientation, as mmseg does)'
            content.problems.append(Problem(OTHER_SIZE, pair.label, detail))
    return content


def check_pairs(folder: Path, pairs: list[Pair], values: frozenset[int], nproc: int, what: str, advice: str) -> None:
    """Reads all pairs, which lie in ``folder``, in parallel.

    Raises:
        UserError: some file is missing, damaged, of another size than its partner, or holds other ``values``. The
            message names the first ones, calls the whole ``what``, and ends with ``advice``.
    """
    problems = []
    for content in run_parallel(read_pair, pairs, nproc, 'Reading all images and label maps', total=len(pairs)):
        problems += content.problems
        wrong = sorted(content.values.keys() - values)
        if wrong:
            problems.append(Problem(OTHER_VALUES, content.pair.label, f'it holds {wrong[:5]}'))
    if problems:
        problems.sort(key=lambda problem: problem.path)
        shown = '; '.join(f'{Path(p.path).relative_to(folder)}: {p.kind}, {p.detail}' for p in problems[:3])
        more = f'; and {len(problems) - 3:,} more' if len(problems) > 3 else ''
        raise UserError(f'{what} is damaged: {shown}{more}.\n  {advice}')


def decode_label(pair: Pair) -> np.ndarray:
    """The label map (H, W) of a pair that ``read_pair`` found nothing wrong with, as training sees it, uint8."""
    if pair.label_steps:
        from mmseg_attn.datasets.reading_errors import load_labels
        return load_labels(pair.label_steps, pair.told).astype(np.uint8)
    return np.array(Image.open(io.BytesIO(bytes_of(pair.label, pair.backend_args)))).squeeze().astype(np.uint8)


def decode_image(pair: Pair) -> np.ndarray:
    """The image (H, W, 3), RGB, uint8, of a pair that ``read_pair`` found nothing wrong with."""
    import cv2
    if pair.steps:
        return displayable(_load(pair))
    array = np.frombuffer(bytes_of(pair.image, pair.backend_args), np.uint8)
    return cv2.imdecode(array, cv2.IMREAD_COLOR)[:, :, ::-1]


def _read_image(content: PairContent) -> bool:
    """Whether the EXIF orientation exchanges width and height."""
    pair = content.pair
    if pair.steps:
        return _load_image(content)
    try:
        data = read_bytes(pair.image, pair.backend_args)
        content.size, turned = pair.size_of(data)
    except ImageFileError as error:
        kind = MISSING_IMAGE if error.missing else OTHER_IMAGE if error.other else BROKEN_IMAGE
        content.problems.append(Problem(kind, pair.image, str(error)))
        return False
    content.channels = 3
    if is_deep(data):
        content.losses.append(Problem(DEEP, pair.image, '16 bits'))
    _count_pages(content, data)
    return turned


def _count_pages(content: PairContent, data: bytes) -> None:
    pages = number_of_pages(data)
    if pages > 1:
        content.losses.append(Problem(PAGES, content.pair.image, f'{pages} pages'))


def _load(pair: Pair) -> np.ndarray:
    # Not at the top: data sets are prepared without OpenMMLab.
    from mmseg_attn.common.loading_steps import load_by
    return load_by(pair.steps, pair.told)


def _load_image(content: PairContent) -> bool:
    """By the steps of the config, as training does."""
    from mmseg_attn.datasets.eight_bits import range_of
    pair = content.pair
    try:
        image = _load(pair)
        content.shape = image.shape
        height, width, *channels = image.shape
        content.size, content.channels = (width, height), channels[0] if channels else 1
        content.is_finite, content.range = bool(np.isfinite(image).all()), range_of(image)
    except Exception as error:  # decoders raise whatever they come across
        kind = MISSING_IMAGE if not Path(pair.image).exists() else UNLOADED_IMAGE
        content.problems.append(Problem(kind, pair.image, reason_of(error)))
        return False
    if Path(pair.image).suffix.lower() in TIFF_SUFFIXES and _is_of_mmcv(pair.steps[0]):
        _count_pages(content, read_bytes(pair.image, pair.backend_args))
    return False


def _is_of_mmcv(step: dict) -> bool:
    """Whether a step reads the first page of a TIFF alone."""
    from mmseg_attn.common.loading_steps import name_of_step
    return name_of_step(step) == 'LoadImageFromFile' and step.get('imdecode_backend') != 'tifffile'


def _load_label(content: PairContent) -> tuple[int, int] | None:
    """By the steps of the config, as training does, which may need the image."""
    from mmseg_attn.datasets.reading_errors import DataError, load_labels
    pair = content.pair
    if not Path(pair.label).exists() and '://' not in pair.label:
        content.problems.append(Problem(MISSING_LABEL, pair.label, 'does not exist' + hint_at(Path(pair.label))))
    elif content.size:
        try:
            labels = load_labels(pair.label_steps, pair.told)
        except DataError as error:
            content.problems.append(Problem(REFUSED, pair.label, str(error).removeprefix(f'{pair.label}: ')))
            return None
        content.values = _count(labels)
    return content.size


def _read_label(content: PairContent) -> tuple[int, int] | None:
    path = content.pair.label
    data = b''
    try:
        data = read_bytes(path, content.pair.backend_args)
        image = decode(data)
        array = np.array(image)
    except ImageFileError as error:
        kind = MISSING_LABEL if error.missing else BROKEN_LABEL
        content.problems.append(Problem(kind, path, str(error)))
        return None
    except Exception as error:  # decoders raise whatever they come across
        other = what_else(data)
        content.problems.append(Problem(OTHER_LABEL if other else BROKEN_LABEL, path, other or reason_of(error)))
        return None
    content.mode, content.lossy = image.mode, image.format == 'JPEG'
    if min(image.size) == 1:
        content.problems.append(Problem(THIN, path, _by(image.size)))
    if array.ndim == 3:
        _describe_channels(content, array)
    elif array.dtype.kind == 'f' and (array != np.round(array)).any():
        content.problems.append(Problem(FRACTIONS, path, f'{array.dtype} from {array.min()} to {array.max()}'))
    else:
        content.values = _count(array)
    return image.size


def _count(array: np.ndarray) -> dict[int, int]:
    if array.dtype.kind in 'bu' and array.dtype.itemsize == 1:
        counts = np.bincount(array.ravel(), minlength=256)
        return {value: int(counts[value]) for value in np.flatnonzero(counts).tolist()}
    numbers, counts = np.unique(array.astype(np.int64), return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))


def _describe_channels(content: PairContent, array: np.ndarray) -> None:
    channels = array.shape[2]
    if channels >= 3 and (array[:, :, :3] == array[:, :, :1]).all():
        detail = f'{content.mode}, {channels} channels, equal in every pixel: a label map saved as a picture'
    elif channels >= 3:
        packed = np.unique(array[:, :, :3].astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32))
        content.colours = [(c >> 16, c >> 8 & 255, c & 255) for c in packed[:MOST_COLOURS].tolist()]
        detail = f'{content.mode}, {channels} channels, {len(packed)} colours'
    else:
        detail = f'{content.mode}, {channels} channels'
    content.problems.append(Problem(CHANNELS, content.pair.label, detail))


def _by(size: tuple[int, int]) -> str:
    return f'{size[0]} x {size[1]}'
