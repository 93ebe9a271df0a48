"""What an annotation file says, whatever its format."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

Size = tuple[int, int]  # width, height
Box = tuple[int, int, int, int]  # left, top, width, height


@dataclass(frozen=True)
class Polygons:
    """Outlines (N, 2) of x and y, whose insides together are the object."""
    parts: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Ellipse:
    """``degrees`` turns it clockwise, as seen in the picture."""
    centre: tuple[float, float]
    radii: tuple[float, float]
    degrees: float = 0


@dataclass(frozen=True)
class Line:
    """Points (N, 2) that are joined one after the other."""
    points: np.ndarray


@dataclass(frozen=True)
class Runs:
    """Run lengths within a box: pixels outside, inside, outside and so on, int64.

    They go down the columns as in COCO, or along the rows as in CVAT.
    """
    counts: np.ndarray
    box: Box
    down: bool


@dataclass(frozen=True)
class Bitmap:
    """A picture file of the size of the box: 0 outside, anything else inside."""
    data: bytes
    box: Box


@dataclass(frozen=True)
class Shape:
    """An object. ``where`` names it in errors."""
    label: str
    outline: Polygons | Ellipse | Line | Runs | Bitmap
    where: str


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and the shapes in it, the later ones above the earlier.

    Attributes:
        name: its path in the data set, with ``/`` and without suffix.
        suffix: of the image file, such as '.jpg'.
        source: the image file, or the one that it is embedded in.
        embedded: whether ``source`` is a file of labelme, and the image in its imageData.
        size: width and height as annotated, or None where the file does not say it.
        shapes: what is in the image.
        where: names the image in errors.
    """
    name: str
    suffix: str
    source: Path
    embedded: bool
    size: Size | None
    shapes: tuple[Shape, ...]
    where: str


@dataclass
class Annotations:
    """All of a file or a folder.

    Attributes:
        images: sorted by name.
        labels: the classes in the order of the format.
        larger_first: whether large shapes lie below small ones, instead of early ones below late ones.
        turned: whether the annotations are known to be of the image as its EXIF orientation turns it.
        notes: what was left out.
        validated: the names of the images to validate on, where the files say it.
    """
    images: list[AnnotatedImage]
    labels: list[str]
    larger_first: bool = False
    turned: bool = True
    notes: list[str] = field(default_factory=list)
    validated: frozenset[str] | None = None
