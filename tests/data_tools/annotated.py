"""Small annotations of labelme, COCO and CVAT, as their tools write them."""

import base64
import json
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = WIDTH, HEIGHT = 13, 9


def pixels(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = SIZE, orientation: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels(seed, size))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, **(dict(exif=exif) if orientation != 1 else {}))


def shape(label: str, kind: str, *points: tuple[float, float], **more: object) -> dict:
    return dict(label=label, points=[list(point) for point in points], group_id=None, description='', shape_type=kind,
                flags={}, mask=None) | more


def labelme(path: Path, shapes: list, **more: object) -> Path:
    """A file of labelme; its image is that of the same name with .png."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = dict(version='5.5.0', flags={}, shapes=shapes, imagePath=f'{path.stem}.png', imageData=None,
                   imageHeight=HEIGHT, imageWidth=WIDTH) | more
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}), encoding='utf-8')
    return path


def labelme_folder(folder: Path, count: int = 5) -> Path:
    """Images whose shapes are a cat in a box and, but in the first, a dog over a part of it."""
    for i in range(count):
        write_image(folder / f'{i}.png', i)
        dogs = [shape('dog', 'polygon', (3, 1), (9, 1), (9, 8), (3, 8))] * (i > 0)
        labelme(folder / f'{i}.json', [shape('cat', 'rectangle', (1, 2), (6, 7)), *dogs])
    return folder


def base64_of(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def coco(path: Path, annotations: list[dict], /, **more: object) -> Path:
    """Images 1.png and 2.png in the folder images beside the file, ids 7 and 9; classes cat (3) and dog (1)."""
    for i in (1, 2):
        write_image(path.parent / 'images' / f'{i}.png', i)
    content = dict(
        images=[dict(id=i, file_name=f'{name}.png', width=WIDTH, height=HEIGHT) for i, name in ((7, 1), (9, 2))],
        annotations=[dict(id=i, image_id=7, category_id=3, iscrowd=0) | one for i, one in enumerate(annotations)],
        categories=[dict(id=3, name='cat'), dict(id=1, name='dog')]) | more
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))
    return path


LABELS = ('<meta><task><labels><label><name>dog</name><type>any</type></label><label><name>cat</name></label>'
          '<label><name>body</name><type>skeleton</type></label><label><name>1</name><type>points</type>'
          '<parent>body</parent></label></labels></task></meta>')


def cvat(path: Path, shapes: str, meta: str = LABELS, size: tuple[object, object] = SIZE, name: str = '1.png') -> Path:
    """Images 1.png and 2.png in the folder images beside the file; the shapes are in the first."""
    for i in (1, 2):
        write_image(path.parent / 'images' / f'{i}.png', i)
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}'
        f'<image id="0" name="{name}" width="{size[0]}" height="{size[1]}">{shapes}</image>'
        f'<image id="1" name="2.png" width="{WIDTH}" height="{HEIGHT}"></image></annotations>', encoding='utf-8')
    return path
