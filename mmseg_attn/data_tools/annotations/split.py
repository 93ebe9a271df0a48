"""Which images are trained on, and which are validated on."""

import hashlib
import unicodedata
from collections.abc import Collection
from pathlib import Path

from mmseg_attn.common.errors import UserError

from .content import AnnotatedImage
from .fields import read_text, shown

TRAIN, VAL = 'train', 'val'


def split_images(images: list[AnnotatedImage], val: str) -> dict[str, str]:
    """Name of an image -> 'train' or 'val'.

    With a share, the images are sorted by the SHA-256 of their names, and the first ones are for validation: the same
    on every machine, and without an order that names may have, such as that of a day.

    Args:
        images: all of them.
        val: a share between 0 and 1, or a text file with the name of one image in each line.

    Raises:
        UserError: it is neither, names an unknown image, or leaves no image for one of the two.
    """
    try:
        share = float(val)
    except ValueError:
        chosen = _listed(images, Path(val))
    else:
        if not 0 < share < 1:
            raise UserError(f'--val must be a share between 0 and 1, or a file with names, got {val}')
        names = sorted((image.name for image in images), key=_hash)
        chosen = set(names[:max(1, round(share * len(names)))])
    return split_by(images, chosen, f'--val {val}')


def split_by(images: list[AnnotatedImage], chosen: Collection[str], what: str) -> dict[str, str]:
    """:func:`split_images` with the names of those to validate on, which come from ``what``.

    Raises:
        UserError: no image is left for one of the two.
    """
    if not 0 < len(chosen) < len(images):
        raise UserError(f'{what} leaves {len(images) - len(chosen)} of {len(images)} images to train on and '
                        f'{len(chosen)} to validate on: each needs one')
    return {image.name: VAL if image.name in chosen else TRAIN for image in images}


def _hash(name: str) -> str:
    return hashlib.sha256(unicodedata.normalize('NFC', name).encode('utf-8', 'surrogatepass')).hexdigest()


def _listed(images: list[AnnotatedImage], file: Path) -> set[str]:
    if not file.is_file():
        raise UserError(f'--val {file} is neither a share such as 0.2 nor a file with the names of images')
    names = {image.name: image.name for image in images} | {image.name + image.suffix: image.name for image in images}
    lines = [line.strip().replace('\\', '/') for line in read_text(file).splitlines() if line.strip()]
    missing = [line for line in lines if line not in names]
    if missing:
        raise UserError(f'{file} names {shown(missing[0])}, which is none of the annotated images, such as '
                        f'{shown(images[0].name)}' + (f'; and {len(missing) - 1:,} more' if missing[1:] else ''))
    return {names[line] for line in lines}
