"""Writes annotated images as a data set: images/{train,val}, labels/{train,val} and classes.txt."""

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import atomic_folder
from mmseg_attn.common.image_files import IMAGE_SUFFIXES
from mmseg_attn.data_tools.archives import locked
from mmseg_attn.data_tools.pairs import Pair, check_pairs
from mmseg_attn.data_tools.parallel import run_parallel

from .bands import PAGE, size_of_bands
from .classes import Numbering
from .content import AnnotatedImage, Annotations
from .drawing import IGNORED
from .making import Drawing, Made, compare, make, places, write
from .split import TRAIN, VAL

SPLITS = (TRAIN, VAL)
NAMES = 'classes.txt'
SAME_FORMAT = {'.jpeg': '.jpg', '.tiff': '.tif'}
FIRST = 3  # problems that are shown


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
            made = _all(partial(make, drawing, root, compare), tasks, nproc, 'Comparing with what is there')
            differs = [one.differs for one in made if one.differs]
            if differs:
                raise UserError(_other(root, differs[0] + (f', and {len(differs) - 1:,} more' if differs[1:] else '')))
        else:
            with atomic_folder(root) as folder:
                made = _all(partial(make, drawing, folder, write), tasks, nproc, 'Drawing the label maps')
                _require_same_bands(made)
                (folder / NAMES).write_text(names, encoding='utf-8')
                pairs = [_pair(folder, one, suffix) for one in made]
                check_pairs(folder, pairs, frozenset({*range(len(numbering.classes)), IGNORED}), nproc, str(root),
                            'Look for what is wrong with the disk, and run again')
    return Written(root, suffix, numbering.classes, made, was_there, _notes(annotations, numbering, made, as_png))


def expected(root: Path, annotations: Annotations, numbering: Numbering, split: dict[str, str]) -> Written:
    """What :func:`write_data_set` will give, as far as the annotations say it: the size of an image may be None."""
    images = [Made(image, split[image.name], image.size) for image in annotations.images]
    return Written(root, _suffix(annotations.images)[0], numbering.classes, images, False, [])


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
                            f'{", ".join(IMAGE_SUFFIXES)}. {PAGE} says how to train on others')
        found.add(SAME_FORMAT.get(suffix, suffix))
    return ('.png', True) if len(found) > 1 else (found.pop(), False)


def _all(function: Callable, tasks: list, nproc: int, description: str) -> list[Made]:
    made = sorted(run_parallel(function, tasks, nproc, description, len(tasks)), key=lambda one: one.image.name)
    problems = [one.problem for one in made if one.problem]
    if problems:
        more = f'\n  and {len(problems) - FIRST:,} more' if len(problems) > FIRST else ''
        raise UserError('\n  '.join(problems[:FIRST]) + more)
    return made


def _require_same_bands(made: list[Made]) -> None:
    first = made[0]
    for one in made:
        if one.number_of_bands != first.number_of_bands:
            raise UserError(f'{first.image.source} is {_kind(first)}, and {one.image.source} {_kind(one)}: a network '
                            'takes images of one kind. Save all as one, or prepare a data set of each')


def _kind(one: Made) -> str:
    return f'a TIFF of {one.number_of_bands} bands' if one.bands else 'of grey or colours'


def _pair(folder: Path, one: Made, suffix: str) -> Pair:
    image, label = map(str, places(folder, one.image.name, one.split, suffix))
    return Pair(image, label, size_of=size_of_bands) if one.bands else Pair(image, label)


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
    absent = [name for number, name in enumerate(numbering.classes) if not any(one.values[number] for one in made)]
    if numbering.fill != IGNORED and numbering.classes[0] in absent:
        notes.append(f'no pixel is {absent.pop(0)}, so that it is a class that cannot be learnt: with '
                     '--no-background there is none')
    if absent:
        more = f' and {len(absent) - 5} more' if absent[5:] else ''
        notes.append(f'no pixel is {", ".join(absent[:5])}{more}: what does not occur cannot be learnt. --classes with '
                     'the others leaves it out')
    if without_pixels:
        notes.append(f'shapes that hold no centre of a pixel, and so do not show: {without_pixels:,}')
    unknown = [one.image.source for one in made if one.bands and not one.bands.finite]
    if unknown:
        notes.append(f'images with values that are not finite, with which no network can be trained: {len(unknown):,}, '
                     f'such as {unknown[0]}. Replace them, by the mean of the band for example')
    if as_png:
        notes.append('the images are of several formats, and mmseg takes one: those of others were written as PNG')
    return notes
