"""Reads a folder of labelme: a file of JSON for each image."""

import base64
import binascii
import posixpath
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from mmseg_attn.common.errors import UserError
from mmseg_attn.common.image_files import IMAGE_SUFFIXES, hint_at
from mmseg_attn.data_tools.parallel import run_parallel

from .content import AnnotatedImage, Annotations, Bitmap, Box, Ellipse, Line, Polygons, Shape
from .fields import field, find_file, has_drive, inner_path, label_of, points_of, read_json, require, shown, side_of

# Type of a shape -> least and most of its points.
POINTS = {'polygon': (3, None), 'rectangle': (2, 4), 'oriented_rectangle': (4, 4), 'circle': (2, 2),
          'line': (2, 2), 'linestrip': (2, None), 'mask': (2, 2)}
WITHOUT_AREA = ('point', 'points')
MAGIC = {b'\xff\xd8\xff': '.jpg', b'\x89PNG': '.png', b'BM': '.bmp', b'II*\0': '.tif', b'MM\0*': '.tif'}


def read_labelme(folder: Path, images: Path | None, nproc: int) -> Annotations:
    """All files \\*.json below ``folder``; the classes are the labels in alphabetical order.

    Args:
        folder: the annotations, each with the image beside it that its imagePath names, or in its imageData.
        images: where the images are instead; of imagePath only the name of the file counts then.
        nproc: number of processes.

    Raises:
        UserError: a file is damaged, or no annotation of labelme; an image is missing, or annotated twice.
    """
    if not folder.is_dir():
        raise UserError(f'{folder} is no folder: name the one with the JSON files of labelme')
    if images is not None and not images.is_dir():
        raise UserError(f'--images {images} is no folder')
    files = sorted(file for file in folder.rglob('*.json') if not _hidden(file, folder))
    if not files:
        raise UserError(f'there is no JSON file in {folder}: labelme writes one for each image')
    read = partial(read_file, folder, images)
    found = list(run_parallel(read, files, nproc, 'Reading the annotations', len(files)))
    annotated = sorted((image for image, _ in found), key=lambda image: image.name)
    labels = sorted({shape.label for image in annotated for shape in image.shapes})
    return Annotations(annotated, labels, notes=_notes(images or folder, annotated, sum(left for _, left in found)))


def _notes(folder: Path, images: list[AnnotatedImage], points: int) -> list[str]:
    used = {image.source for image in images if not image.embedded} | {
        image.source.with_suffix(suffix) for image in images if image.embedded for suffix in IMAGE_SUFFIXES}
    other = sorted(path for path in folder.rglob('*') if path.suffix.lower() in IMAGE_SUFFIXES and path not in used
                   and not _hidden(path, folder))
    notes = [f'points, left out because they have no area: {points:,}'] if points else []
    if other:
        notes.append(f'images without a JSON file, left out: {len(other):,}, such as {other[0]}. Save those '
                     'without any object in labelme too')
    return notes


def _hidden(path: Path, folder: Path) -> bool:
    """Such as what macOS and Jupyter leave behind."""
    return any(part.startswith('.') for part in path.relative_to(folder).parts)


def read_file(folder: Path, images: Path | None, file: Path) -> tuple[AnnotatedImage, int]:
    """The image of one file, and how many points without area were left out."""
    content = read_json(file)
    if 'shapes' not in content:
        raise UserError(f"{file} is no annotation of labelme, for it has no 'shapes': move it to another folder")
    shapes, points = [], 0
    for i, node in enumerate(field(content, 'shapes', list, str(file))):
        where = f'{file}: shape {i + 1}'
        kind = require(node, dict, where).get('shape_type') or 'polygon'  # old files do not say it
        if kind in WITHOUT_AREA:
            points += 1
        else:
            label = label_of(node, 'label', where)
            where = f'{where} ({shown(label)})'
            shapes.append(Shape(label, _outline(node, kind, where), where))
    source, suffix, embedded = _image(content, folder, images, file)
    name = file.relative_to(folder).with_suffix('').as_posix()
    inner_path(name, str(file))
    sides = [content.get(key) for key in ('imageWidth', 'imageHeight')]
    size = None if None in sides else tuple(side_of(side, f'{file}: {key!r}') for side, key in zip(
        sides, ('imageWidth', 'imageHeight'), strict=True))
    return AnnotatedImage(name, suffix, source, embedded, size, tuple(shapes), str(file)), points


def _image(content: dict, folder: Path, images: Path | None, file: Path) -> tuple[Path, str, bool]:
    """The file that holds the image, the suffix of the image, and whether it is embedded."""
    name = field(content, 'imagePath', str, str(file)).replace('\\', '/')
    where = f"{file}: 'imagePath'"
    # Seen from the folder, which `..` may lead out of.
    inner = posixpath.normpath(posixpath.join(file.parent.relative_to(folder).as_posix(), name))
    if images is not None:
        path = find_file(images, inner_path(PurePosixPath(name).name, where))
    elif content.get('imageData') and (inner.startswith(('../', '/')) or has_drive(name)):
        path = None  # elsewhere, and not needed
    else:
        path = find_file(folder, inner_path(name if has_drive(name) else inner,
                                            f'{where} (--images DIR says where the images are)'))
    if path is not None and path.is_file():
        return path, path.suffix, False
    if not content.get('imageData'):
        raise UserError(f'{file}: its image {path} does not exist{hint_at(path)}, and there is no imageData in the '
                        'file.\n  Put it there, or say with --images DIR where the images are')
    data = embedded_image(content, str(file))
    suffix = next((suffix for magic, suffix in MAGIC.items() if data.startswith(magic)), None)
    if suffix is None:
        raise UserError(f"{file}: 'imageData' is no picture in JPEG, PNG, BMP or TIFF")
    return file, suffix, True


def embedded_image(content: dict, where: str) -> bytes:
    return _decode(field(content, 'imageData', str, where), f"{where}: 'imageData'")


def _decode(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(''.join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f'{where} is damaged, or not in base64: {error}') from error


def _outline(node: dict, kind: object, where: str) -> Polygons | Ellipse | Line | Bitmap:
    if not isinstance(kind, str) or kind not in POINTS:
        raise UserError(f'{where}: the shape_type {shown(kind)} is unknown; there are {", ".join(POINTS)}')
    points = points_of(field(node, 'points', list, where), where, *POINTS[kind])
    if kind == 'rectangle' and len(points) == 2:
        points = corners(*points.min(axis=0), *points.max(axis=0))
    if kind == 'circle':
        radius = float(np.hypot(*(points[1] - points[0])))
        return Ellipse(tuple(points[0].tolist()), (radius, radius))
    if kind in ('line', 'linestrip'):
        return Line(points)
    if kind == 'mask':
        return Bitmap(_decode(field(node, 'mask', str, where), f"{where}: 'mask'"), _box(points))
    return Polygons((points, ))


def _box(points: np.ndarray) -> Box:
    """Both points are pixels of the mask."""
    (left, top), (right, bottom) = points.astype(int).tolist()
    return left, top, right - left + 1, bottom - top + 1


def corners(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], float)
