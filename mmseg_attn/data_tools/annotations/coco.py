"""Reads the instances of COCO: one file of JSON for all images."""

from pathlib import Path

import numpy as np

from mmseg_attn.common.errors import UserError

from .content import AnnotatedImage, Annotations, Polygons, Runs, Shape, Size
from .fields import field, find_file, inner_path, label_of, number_of, read_json, require, shown, side_of
from .runs import decompress, runs_of


def read_coco(file: Path, images: Path) -> Annotations:
    """The classes are the categories by their ids.

    Args:
        file: with images, annotations and categories.
        images: the folder that the file names of the images begin in.

    Raises:
        UserError: the file is damaged, or not as COCO describes it; an image is missing.
    """
    if not images.is_dir():
        raise UserError(f'--images {images} is no folder')
    content = read_json(file)
    labels = _categories(field(content, 'categories', list, str(file)), file)
    sizes: dict[int | str, Size] = {}
    nodes = {}
    for i, node in enumerate(field(content, 'images', list, str(file))):
        where = f'{file}: images[{i}]'
        number = _id(require(node, dict, where), 'id', where)
        if number in nodes:
            raise UserError(f'{where} has the id {shown(number)} of another image')
        sizes[number] = tuple(side_of(field(node, key, int, where), f'{where}: {key!r}') for key in ('width', 'height'))
        nodes[number] = where, inner_path(field(node, 'file_name', str, where), f"{where}: 'file_name'")
    shapes: dict[int | str, list[Shape]] = {number: [] for number in nodes}
    for i, node in enumerate(field(content, 'annotations', list, str(file))):
        where = f'{file}: annotations[{i}]' + (f' (id {shown(node["id"])})' if isinstance(node, dict) and 'id' in node
                                               else '')
        number = _id(require(node, dict, where), 'image_id', where)
        category = _id(node, 'category_id', where)
        if number not in nodes:
            raise UserError(f'{where} belongs to the image {shown(number)}, which is not among the images')
        if category not in labels:
            raise UserError(f'{where} is of the category {shown(category)}, which is not among the categories '
                            f'{", ".join(map(str, list(labels)[:10]))}')
        shapes[number].append(Shape(labels[category], _outline(node, sizes[number], where), where))
    annotated = [
        AnnotatedImage(path.with_suffix('').as_posix(), path.suffix, find_file(images, path), False, sizes[number],
                       tuple(shapes[number]), where) for number, (where, path) in nodes.items()]
    return Annotations(sorted(annotated, key=lambda image: image.name), list(labels.values()), larger_first=True,
                       turned=False)


def _id(node: dict, key: str, where: str) -> int | str:
    if isinstance(node.get(key), str):
        return node[key]
    return field(node, key, int, where)


def _categories(nodes: list, file: Path) -> dict[int | str, str]:
    """Id -> name, sorted by id."""
    labels: dict[int | str, str] = {}
    for i, node in enumerate(nodes):
        where = f'{file}: categories[{i}]'
        number, label = _id(require(node, dict, where), 'id', where), label_of(node, 'name', where)
        if number in labels or label in labels.values():
            raise UserError(f'{where} has the id {shown(number)} or the name {shown(label)} of another category')
        labels[number] = label
    return dict(sorted(labels.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def _outline(node: dict, size: Size, where: str) -> Polygons | Runs:
    segmentation = node.get('segmentation')
    if isinstance(segmentation, dict):
        return _runs(segmentation, size, where)
    if not segmentation:
        raise UserError(f'{where} has no segmentation: a box alone does not say which pixels are of the object. '
                        'Outline or remove it')
    require(segmentation, list, f"{where}: 'segmentation'")
    return Polygons(tuple(_polygon(part, where) for part in segmentation))


def _polygon(numbers: object, where: str) -> np.ndarray:
    require(numbers, list, f"{where}: a part of 'segmentation'")
    if len(numbers) < 6 or len(numbers) % 2:
        raise UserError(f"{where}: a part of 'segmentation' must be x1, y1, x2, y2, x3, y3 and so on, and has "
                        f'{len(numbers)} numbers. Correct or remove it')
    return np.array([number_of(number, where) for number in numbers], float).reshape(-1, 2)


def _runs(node: dict, size: Size, where: str) -> Runs:
    where = f'{where}: the RLE'
    height_width = field(node, 'size', list, where)
    if height_width != [size[1], size[0]]:
        raise UserError(f'{where} is of the size (height, width) {shown(height_width)}, and the image is {size[1]} x '
                        f'{size[0]}')
    counts = node.get('counts')
    if isinstance(counts, str):
        counts = decompress(counts, where)
    return runs_of(require(counts, list, f"{where}: 'counts'"), (0, 0, *size), True, where)
