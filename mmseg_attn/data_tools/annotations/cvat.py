"""Reads "CVAT for images 1.1": one file of XML for all images."""

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np

from mmseg_attn.common.errors import UserError

from .content import AnnotatedImage, Annotations, Ellipse, Line, Polygons, Runs, Shape
from .fields import field, find_file, inner_path, label_of, parsed_number, points_of, shown, side_of
from .labelme import corners
from .runs import runs_of

WITHOUT_AREA = ('points', 'tag', 'skeleton')


def read_cvat(file: Path, images: Path) -> Annotations:
    """The classes are the labels of the task in its order, or in alphabetical order if the file does not list them.

    Args:
        file: annotations.xml.
        images: the folder that the names of the images begin in.

    Raises:
        UserError: the file is damaged, or of another kind; an image is missing.
    """
    if not images.is_dir():
        raise UserError(f'--images {images} is no folder')
    root = _parse(file)
    if root.tag != 'annotations' or root.find('track') is not None or root.find('image') is None:
        kind = 'is "CVAT for video"' if root.find('track') is not None else 'is not of CVAT, or has no images'
        raise UserError(f'{file} {kind}: export it from CVAT as "CVAT for images 1.1"')
    annotated, left_out = [], 0
    for node in root.iterfind('image'):
        image, without_area = _image(node, file, images)
        annotated.append(image)
        left_out += without_area
    labels = _labels(root) or sorted({shape.label for image in annotated for shape in image.shapes})
    notes = [f'points, tags and skeletons, left out because they have no area: {left_out:,}'] if left_out else []
    return Annotations(sorted(annotated, key=lambda image: image.name), labels, notes=notes)


def _parse(file: Path) -> ElementTree.Element:
    """The root, of a file that declares no entities: few bytes of them can expand to gigabytes, or name other files."""
    def refuse(*_: object) -> None:
        raise UserError(f'{file} has a DOCTYPE, which CVAT does not write: do not trust it')
    checker = expat.ParserCreate()
    checker.StartDoctypeDeclHandler = refuse
    try:
        data = file.read_bytes()
        checker.Parse(data, True)
        return ElementTree.fromstring(data)
    except OSError as error:
        raise UserError(f'{file} cannot be read: {error.strerror or error}') from error
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f'{file} is damaged, or no XML: {error}. Export it again') from error


def _labels(root: ElementTree.Element) -> list[str]:
    """The names, without labels that cannot have an area and the points of skeletons."""
    labels = []
    for node in root.iterfind('.//meta//label'):
        if node.findtext('type') not in WITHOUT_AREA and node.find('parent') is None and node.findtext('name'):
            labels.append(node.findtext('name').strip())
    return list(dict.fromkeys(labels))


def _image(node: ElementTree.Element, file: Path, images: Path) -> tuple[AnnotatedImage, int]:
    name = field(dict(node.attrib), 'name', str, f'{file}: an image')
    where = f'{file}: image {shown(name)}'
    path = inner_path(name, where)
    size = tuple(side_of(_whole(node, key, where), f'{where}: {key!r}') for key in ('width', 'height'))
    shapes, left_out = [], 0
    for i, inner in enumerate(node):
        place = f'{where}: {inner.tag} {i + 1}'
        if inner.tag in WITHOUT_AREA:
            left_out += 1
        else:
            label = label_of(dict(inner.attrib), 'label', place)
            place = f'{place} ({shown(label)})'
            order = parsed_number(inner.get('z_order', '0'), f"{place}: 'z_order'")
            shapes.append((order, Shape(label, _outline(inner, place), place)))
    shapes.sort(key=lambda pair: pair[0])  # those of the same order stay in that of the file
    return AnnotatedImage(path.with_suffix('').as_posix(), path.suffix, find_file(images, path), False, size,
                          tuple(shape for _, shape in shapes), where), left_out


def _outline(node: ElementTree.Element, where: str) -> Polygons | Ellipse | Line | Runs:
    if node.tag == 'polygon':
        return Polygons((_points(node, where, 3), ))
    if node.tag == 'polyline':
        return Line(_points(node, where, 2))
    if node.tag == 'box':
        return Polygons((_box(node, where), ))
    if node.tag == 'ellipse':
        x, y, along, across = (_number(node, key, where) for key in ('cx', 'cy', 'rx', 'ry'))
        return Ellipse((x, y), (abs(along), abs(across)), _turn(node, where))
    if node.tag == 'mask':
        left, top, width, height = (_whole(node, key, where) for key in ('left', 'top', 'width', 'height'))
        box = left, top, side_of(width, f"{where}: 'width'"), side_of(height, f"{where}: 'height'")
        return runs_of(_counts(node, where), box, False, where)
    raise UserError(f'{where}: a {node.tag} cannot be drawn; there are polygon, box, ellipse, polyline and mask')


def _points(node: ElementTree.Element, where: str, least: int) -> np.ndarray:
    texts = field(dict(node.attrib), 'points', str, where).split(';')
    points = [[parsed_number(number, where) for number in text.split(',')] for text in texts if text.strip()]
    return points_of(points, where, least)


def _box(node: ElementTree.Element, where: str) -> np.ndarray:
    box = corners(*(_number(node, key, where) for key in ('xtl', 'ytl', 'xbr', 'ybr')))
    centre, turn = box.mean(axis=0), np.radians(_turn(node, where))
    if not turn:
        return box
    x, y = (box - centre).T
    return centre + np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)


def _turn(node: ElementTree.Element, where: str) -> float:
    return parsed_number(node.get('rotation', '0'), f"{where}: 'rotation'")


def _number(node: ElementTree.Element, key: str, where: str) -> float:
    return parsed_number(field(dict(node.attrib), key, str, where), f'{where}: {key!r}')


def _whole(node: ElementTree.Element, key: str, where: str) -> int:
    number = _number(node, key, where)
    if number != int(number):
        raise UserError(f'{where}: {key!r} must be a whole number, and is {node.get(key)}')
    return int(number)


def _counts(node: ElementTree.Element, where: str) -> list[int]:
    text = field(dict(node.attrib), 'rle', str, where)
    try:
        return [int(count) for count in text.split(',')]
    except ValueError as error:
        raise UserError(f"{where}: 'rle' must be whole numbers between commas, and is {shown(text)}") from error
