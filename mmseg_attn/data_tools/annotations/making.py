"""One image of a data set: its file and its label map are written, or compared with what is there."""

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.image_files import EIGHT_BIT_MODES, ImageFileError, image_size, read_bytes

from .bands import Bands, has_bands, measure, missing_reader, read_bands
from .content import AnnotatedImage, Size
from .drawing import IGNORED, draw
from .fields import read_json
from .labelme import embedded_image


@dataclass(frozen=True)
class Drawing:
    """How label maps are made, the same for all images.

    ``suffix`` is that of all images in the data set, for mmseg looks for one only; ``as_png`` says that images of
    another kind are written as PNG. ``link`` makes hard links of images instead of copies.
    """
    numbers: dict[str, int]
    fill: int
    line_width: float
    larger_first: bool
    turned: bool
    suffix: str
    as_png: bool
    link: bool


@dataclass(frozen=True)
class Made:
    """What became of an image: its size and the pixels of each value, or the problem.

    ``differs`` says what is there instead, where it is only compared; ``bands`` is measured where it is such a TIFF.
    """
    image: AnnotatedImage
    split: str
    size: Size = (0, 0)
    values: np.ndarray = field(default_factory=lambda: np.zeros(IGNORED + 1, np.int64))
    without_pixels: int = 0
    problem: str = ''
    differs: str = ''
    bands: Bands | None = None

    @property
    def number_of_bands(self) -> int:
        return len(self.bands.counts) if self.bands else 0


Finish = Callable[[Drawing, AnnotatedImage, bytes, np.ndarray, Path, Path], str]


def places(root: Path, name: str, split: str, suffix: str) -> tuple[Path, Path]:
    """The files of an image and its label map."""
    return root / 'images' / split / f'{name}{suffix}', root / 'labels' / split / f'{name}.png'


def make(drawing: Drawing, root: Path, finish: Finish, task: tuple[AnnotatedImage, str]) -> Made:
    """Draws the label map of an image, and hands the files of both to :func:`write` or :func:`compare`."""
    image, split = task
    try:
        data, size, bands = picture(drawing, image)
        label, without_pixels = draw(image.shapes, drawing.numbers, size, drawing.fill, drawing.line_width,
                                     drawing.larger_first)
    except UserError as error:
        return Made(image, split, problem=str(error))
    differs = finish(drawing, image, data, label, *places(root, image.name, split, drawing.suffix))
    values = np.bincount(label.ravel(), minlength=IGNORED + 1)
    return Made(image, split, size, values, without_pixels, differs=differs, bands=bands)


def write(drawing: Drawing, image: AnnotatedImage, data: bytes, label: np.ndarray, image_path: Path,
          label_path: Path) -> str:
    for path in (image_path, label_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not (drawing.link and not image.embedded and _is_taken_as_it_is(drawing, image)
            and _linked(image.source, image_path)):
        image_path.write_bytes(data)
    Image.fromarray(label).save(label_path)
    return ''


def compare(drawing: Drawing, image: AnnotatedImage, data: bytes, label: np.ndarray, image_path: Path,
            label_path: Path) -> str:
    """What is there instead, or nothing, if it is the same."""
    if not _same_label(label_path, label):
        return f'{label_path} has other pixels'
    there = image_path.read_bytes()
    if there != data and (_is_taken_as_it_is(drawing, image) or not _same_pixels(there, data)):
        return f'{image_path} is another image'
    return ''


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or a file system without links
        return False
    return True


def _is_taken_as_it_is(drawing: Drawing, image: AnnotatedImage) -> bool:
    return not drawing.as_png or image.suffix.lower() == '.png'


def picture(drawing: Drawing, image: AnnotatedImage) -> tuple[bytes, Size, Bands | None]:
    """The file that becomes the image of the data set, and width and height as mmseg reads it.

    Raises:
        UserError: it is missing, damaged, or not of the size that it is annotated with.
    """
    place = f"{image.source}: 'imageData'" if image.embedded else str(image.source)
    bands = None
    try:
        if image.embedded:
            data = embedded_image(read_json(image.source), str(image.source))
        else:
            data = read_bytes(str(image.source))
        if has_bands(data):
            array = read_bands(data)
            size, bands = array.shape[1::-1], measure(array)
        else:
            size, _ = image_size(data)
    except ImageFileError as error:
        raise UserError(f'{image.where}: the image {place} {error}{missing_reader(image.suffix)}') from error
    _check_size(drawing, image, data, size, place)
    return (data if _is_taken_as_it_is(drawing, image) else _png(data, place)), size, bands


def _check_size(drawing: Drawing, image: AnnotatedImage, data: bytes, size: Size, place: str) -> None:
    """Refuses another size, and an EXIF orientation that may have been overlooked by who annotated the image."""
    orientation, stored = _orientation(data)
    advice = 'Save the image without it, as it is to be seen, and annotate that'
    if image.size is not None and image.size != size:
        turned = (f'. They are of the image without its EXIF orientation {orientation}, by which mmseg turns it. '
                  f'{advice}' if image.size == stored else ': the annotations are of another image')
        raise UserError(f'{image.where}: annotated as {_by(image.size)} pixels, and {place} has {_by(size)}{turned}')
    if orientation != 1 and not drawing.turned and size == stored:
        raise UserError(f'{image.where}: {place} has the EXIF orientation {orientation}, by which mmseg turns it, and '
                        f'COCO does not say whether the annotations are of the turned image. {advice}')


def _orientation(data: bytes) -> tuple[int, Size | None]:
    """The EXIF orientation, and the size without it."""
    try:
        image = Image.open(io.BytesIO(data))
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
        return orientation if orientation in range(2, 9) else 1, image.size
    except Exception:  # read by OpenCV alone
        return 1, None


def _png(data: bytes, place: str) -> bytes:
    mode = 'TIFF of bands' if has_bands(data) else Image.open(io.BytesIO(data)).mode
    if mode not in EIGHT_BIT_MODES:
        raise UserError(f'{place} has pixels of the kind {mode}, and the images are of several formats, which '
                        'are written as 8-bit PNG: save all of them in one format')
    out = io.BytesIO()
    ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert('RGB').save(out, 'PNG')
    return out.getvalue()


def _same_label(path: Path, label: np.ndarray) -> bool:
    try:
        with Image.open(path) as image:
            return image.mode == 'L' and np.array_equal(np.array(image), label)
    except Exception:  # damaged
        return False


def _same_pixels(one: bytes, other: bytes) -> bool:
    try:
        return np.array_equal(*(np.array(Image.open(io.BytesIO(data))) for data in (one, other)))
    except Exception:  # damaged
        return False


def _by(size: Size) -> str:
    return f'{size[0]} x {size[1]}'
