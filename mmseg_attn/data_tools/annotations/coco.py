"""Reads the instances of COCO: one file of JSON for all images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmseg_attn.common.errors import UserError

from .content import AnnotatedImage, Annotations, Polygons, Runs, Shape, Size
from .fields import field, find_file, inner_path, label_of, number_of, read_json, require, shown, side_of
from .runs import decompress, runs_of


@dataclass
class Category:
    """``parent`` is its supercategory, and ``used`` says whether an annotation is of it."""
    name: str
    parent: object
    used: bool = False


def read_coco(file: Path, images: Path, validation: tuple[Path, Path] | None = None) -> Annotations:
    """The classes are the categories by their ids, less those that only stand above others.

    Args:
        file: with images, annotations and categories.
        images: the folder that the file names of the images begin in.
        validation: both for the images to validate on, where they have a file of their own.

    Raises:
        UserError: a file is damaged, or not as COCO describes it; an image is missing.
    """
    annotated, categories, validated = *_read(file, images), None
    if validation is not None:
        others, more = _read(*validation)
        annotated, categories = annotated + others, categories + more
        validated = frozenset(image.name for image in others)
    labels = dict.fromkeys(category.name for category in categories)
    used = {category.name for category in categories if category.used}
    # Roboflow writes one above all others, with the id 0.
    parents = {category.parent for category in categories if category.parent != category.name}
    left_out = [label for label in labels if label in parents - used]
    notes = [f'the category {shown(label)} is the supercategory of others, and no annotation is of it: it is no class, '
             'unless --classes names it' for label in left_out]
    return Annotations(sorted(annotated, key=lambda image: image.name),
                       [label for label in labels if label not in left_out], larger_first=True, turned=False,
                       notes=notes, validated=validated)


def _read(file: Path, images: Path) -> tuple[list[AnnotatedImage], list[Category]]:
    if not images.is_dir():
        raise UserError(f'--images {images} is no folder')
    content = read_json(file)
    categories = _categories(field(content, 'categories', list, str(file)), file)
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
        if category not in categories:
            raise UserError(f'{where} is of the category {shown(category)}, which is not among the categories '
                            f'{", ".join(map(str, list(categories)[:10]))}')
        categories[category].used = True
        shapes[number].append(Shape(categories[category].name, _outline(node, sizes[number], where), where))
    annotated = [
        AnnotatedImage(path.with_suffix('').as_posix(), path.suffix, find_file(images, path), False, sizes[number],
                       tuple(shapes[number]), where) for number, (where, path) in nodes.items()]
    return annotated, _one_for_each_name(categories, file)


def _id(node: dict, key: str, where: str) -> int | str:
    if isinstance(node.get(key), str):
        return node[key]
    return field(node, key, int, where)


def _categories(nodes: list, file: Path) -> dict[int | str, Category]:
    """By their ids, sorted."""
    categories: dict[int | str, Category] = {}
    for i, node in enumerate(nodes):
        where = f'{file}: categories[{i}]'
        number, label = _id(require(node, dict, where), 'id', where), label_of(node, 'name', where)
        if number in categories:
            raise UserError(f'{where} ({shown(label)}) has the id {shown(number)} of another category')
        parent = node.get('supercategory')
        categories[number] = Category(label, parent.strip() if isinstance(parent, str) else None)
    return dict(sorted(categories.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def _one_for_each_name(categories: dict[int | str, Category], file: Path) -> list[Category]:
    """Of categories with the same name, the one that has annotations."""
    chosen: dict[str, tuple[int | str, Category]] = {}
    for number, category in categories.items():
        known, other = chosen.get(category.name, (number, category))
        if other is not category and other.used and category.used:
            raise UserError(f'{file}: the categories {shown(known)} and {shown(number)} have both the name '
                            f'{shown(category.name)}, and annotations: rename one, or make one of them')
        if other is category or category.used:
            chosen.pop(category.name, None)  # its place is that of its id
            chosen[category.name] = number, category
    return [category for _, category in chosen.values()]


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
