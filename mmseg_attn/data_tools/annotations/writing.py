"""Writes annotated images as a data set: images/{train,val}, labels/{train,val} and classes.txt."""

import io
import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_folder
from mmseg_attn.common.image_files import EIGHT_BIT_MODES, IMAGE_SUFFIXES, ImageFileError, image_size, read_bytes
from mmseg_attn.data_tools.archives import locked
from mmseg_attn.data_tools.pairs import Pair, check_pairs
from mmseg_attn.data_tools.parallel import run_parallel

from .classes import Numbering
from .content import AnnotatedImage, Annotations, Size
from .drawing import IGNORED, draw
from .fields import read_json
from .labelme import embedded_image
from .split import TRAIN, VAL

SPLITS = (TRAIN, VAL)
NAMES = 'classes.txt'
SAME_FORMAT = {'.jpeg': '.jpg', '.tiff': '.tif'}
FIRST = 3  # problems that are shown


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

    ``differs`` says what is there instead, where it is only compared.
    """
    image: AnnotatedImage
    split: str
    size: Size = (0, 0)
    values: np.ndarray = field(default_factory=lambda: np.zeros(IGNORED + 1, np.int64))
    without_pixels: int = 0
    problem: str = ''
    differs: str = ''


@dataclass(frozen=True)
class Written:
    """A data set.

    Attributes:
        root: its folder.
        suffix: of the images.
        classes: their names.
        images: what became of each, sorted by name.
        was_there: whether all of it was there already.
        notes: what the reader should know.
    """
    root: Path
    suffix: str
    classes: tuple[str, ...]
    images: list[Made]
    was_there: bool
    notes: list[str]


def write_data_set(root: Path, annotations: Annotations, numbering: Numbering, split: dict[str, str],
                   line_width: float, link: bool, nproc: int) -> Written:
    """Makes ``root``, or checks that it is what the annotations give.

    It gets its name when all of it is written and has been read once.

    Args:
        root: the folder.
        annotations: what is drawn.
        numbering: of its labels.
        split: name of an image -> 'train' or 'val'.
        line_width: of lines, in pixels.
        link: make hard links of images where the file system can, instead of copies.
        nproc: number of processes.

    Raises:
        UserError: an image is missing, damaged, of another size than it is annotated with or annotated twice, or
            ``root`` holds something else. Nothing is written then.
    """
    images = annotations.images
    _require_unique(images)
    suffix, as_png = _suffix(images)
    drawing = Drawing(numbering.numbers, numbering.fill, line_width, annotations.larger_first, annotations.turned,
                      suffix, as_png, link)
    tasks = [(image, split[image.name]) for image in images]
    names = ''.join(f'{name}\n' for name in numbering.classes)
    with locked(root):
        was_there = root.exists() and not (root.is_dir() and not any(root.iterdir()))
        if was_there:
            _require_files(root, tasks, suffix, names)
            made = _all(partial(compare, drawing, root), tasks, nproc, 'Comparing with what is there')
            differs = [one.differs for one in made if one.differs]
            if differs:
                raise UserError(_other(root, differs[0] + (f', and {len(differs) - 1:,} more' if differs[1:] else '')))
        else:
            with atomic_folder(root) as folder:
                made = _all(partial(write, drawing, folder), tasks, nproc, 'Drawing the label maps')
                (folder / NAMES).write_text(names, encoding='utf-8')
                pairs = [Pair(*(str(path) for path in places(folder, one.image.name, one.split, suffix)))
                         for one in made]
                check_pairs(folder, pairs, frozenset({*range(len(numbering.classes)), IGNORED}), nproc, str(root),
                            'Look for what is wrong with the disk, and run again')
    return Written(root, suffix, numbering.classes, made, was_there, _notes(annotations, numbering, made, as_png))


def places(root: Path, name: str, split: str, suffix: str) -> tuple[Path, Path]:
    """The files of an image and its label map."""
    return root / 'images' / split / f'{name}{suffix}', root / 'labels' / split / f'{name}.png'


def _require_unique(images: list[AnnotatedImage]) -> None:
    names: dict[str, AnnotatedImage] = {}
    sources: dict[Path, AnnotatedImage] = {}
    for image in images:
        # As Windows and macOS compare names.
        name = unicodedata.normalize('NFC', image.name).casefold()
        for known, key, what in ((names, name, f'the name {image.name!r} up to its suffix'),
                                 (sources, image.source.resolve(), f'the image {image.source}')):
            if key in known:
                raise UserError(f'{image.where} and {known[key].where} have both {what}. There is one label map for '
                                'each: rename one, or remove its annotation')
            known[key] = image


def _suffix(images: list[AnnotatedImage]) -> tuple[str, bool]:
    """The suffix of the images in the data set, and whether they are written as PNG."""
    found = set()
    for image in images:
        suffix = image.suffix.lower()
        if suffix not in IMAGE_SUFFIXES:
            raise UserError(f'{image.where}: {image.source} is no image by its suffix; there are '
                            f'{", ".join(IMAGE_SUFFIXES)}')
        found.add(SAME_FORMAT.get(suffix, suffix))
    return ('.png', True) if len(found) > 1 else (found.pop(), False)


def _all(function: Callable, tasks: list, nproc: int, description: str) -> list[Made]:
    made = sorted(run_parallel(function, tasks, nproc, description, len(tasks)), key=lambda one: one.image.name)
    problems = [one.problem for one in made if one.problem]
    if problems:
        more = f'\n  and {len(problems) - FIRST:,} more' if len(problems) > FIRST else ''
        raise UserError('\n  '.join(problems[:FIRST]) + more)
    return made


def write(drawing: Drawing, root: Path, task: tuple[AnnotatedImage, str]) -> Made:
    image, split = task
    try:
        data, size = picture(drawing, image)
        label, without_pixels = _label(drawing, image, size)
    except UserError as error:
        return Made(image, split, problem=str(error))
    image_path, label_path = places(root, image.name, split, drawing.suffix)
    for path in (image_path, label_path):
        path.parent.mkdir(parents=True, exist_ok=True)
    if not (drawing.link and not image.embedded and _is_taken_as_it_is(drawing, image)
            and _linked(image.source, image_path)):
        image_path.write_bytes(data)
    Image.fromarray(label).save(label_path)
    return Made(image, split, size, np.bincount(label.ravel(), minlength=IGNORED + 1), without_pixels)


def compare(drawing: Drawing, root: Path, task: tuple[AnnotatedImage, str]) -> Made:
    image, split = task
    try:
        data, size = picture(drawing, image)
        label, without_pixels = _label(drawing, image, size)
    except UserError as error:
        return Made(image, split, problem=str(error))
    image_path, label_path = places(root, image.name, split, drawing.suffix)
    if not _same_label(label_path, label):
        return Made(image, split, differs=f'{label_path} has other pixels')
    there = image_path.read_bytes()
    if there != data and (_is_taken_as_it_is(drawing, image) or not _same_pixels(there, data)):
        return Made(image, split, differs=f'{image_path} is another image')
    return Made(image, split, size, np.bincount(label.ravel(), minlength=IGNORED + 1), without_pixels)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another disk, or a file system without links
        return False
    return True


def _is_taken_as_it_is(drawing: Drawing, image: AnnotatedImage) -> bool:
    return not drawing.as_png or image.suffix.lower() == '.png'


def picture(drawing: Drawing, image: AnnotatedImage) -> tuple[bytes, Size]:
    """The file that becomes the image of the data set, and width and height as mmseg reads it.

    Raises:
        UserError: it is missing, damaged, or not of the size that it is annotated with.
    """
    place = f"{image.source}: 'imageData'" if image.embedded else str(image.source)
    try:
        if image.embedded:
            data = embedded_image(read_json(image.source), str(image.source))
        else:
            data = read_bytes(str(image.source))
        size, _ = image_size(data)
    except ImageFileError as error:
        raise UserError(f'{image.where}: the image {place} {error}') from error
    _check_size(drawing, image, data, size, place)
    return (data if _is_taken_as_it_is(drawing, image) else _png(data, place)), size


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
    image = Image.open(io.BytesIO(data))
    if image.mode not in EIGHT_BIT_MODES:
        raise UserError(f'{place} has pixels of the kind {image.mode}, and the images are of several formats, which '
                        'are written as 8-bit PNG: save all of them in one format')
    out = io.BytesIO()
    ImageOps.exif_transpose(image).convert('RGB').save(out, 'PNG')
    return out.getvalue()


def _label(drawing: Drawing, image: AnnotatedImage, size: Size) -> tuple[np.ndarray, int]:
    return draw(image.shapes, drawing.numbers, size, drawing.fill, drawing.line_width, drawing.larger_first)


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


def _require_files(root: Path, tasks: list[tuple[AnnotatedImage, str]], suffix: str, names: str) -> None:
    expected = {path for image, split in tasks for path in places(root, image.name, split, suffix)} | {root / NAMES}
    found = set(_files(root))
    for missing, what in ((expected - found, 'is missing'), (found - expected, 'does not belong to it')):
        if missing:
            raise UserError(_other(root, f'{min(missing)} {what}'))
    if (root / NAMES).read_text(encoding='utf-8') != names:
        raise UserError(_other(root, f'{root / NAMES} has other classes'))


def _files(root: Path) -> Iterator[Path]:
    """Without those that programs which show folders leave in them."""
    if not root.is_dir():
        return iter([root])
    return (path for path in root.rglob('*') if not path.is_dir() and not path.name.startswith('.'))


def _other(root: Path, reason: str) -> str:
    return (f'{root} is there, and not what these annotations and options give: {reason}.\n'
            '  Nothing was changed: move it away, or choose another --data-root')


def _notes(annotations: Annotations, numbering: Numbering, made: list[Made], as_png: bool) -> list[str]:
    empty = [one.image.name for one in made if not one.image.shapes]
    without_pixels = sum(one.without_pixels for one in made)
    notes = [*annotations.notes, *numbering.notes]
    if empty:
        what = 'ignored' if numbering.fill == IGNORED else numbering.classes[0]
        notes.append(f'images without any shape, all {what}: {len(empty):,}, such as {empty[0]}')
    if numbering.fill != IGNORED and not any(one.values[numbering.fill] for one in made):
        notes.append(f'no pixel is {numbering.classes[0]}, so that it is a class that cannot be learnt: with '
                     '--no-background there is none')
    if without_pixels:
        notes.append(f'shapes that hold no centre of a pixel, and so do not show: {without_pixels:,}')
    if as_png:
        notes.append('the images are of several formats, and mmseg takes one: those of others were written as PNG')
    return notes


def _by(size: Size) -> str:
    return f'{size[0]} x {size[1]}'
