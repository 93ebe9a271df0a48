"""Draws shapes into a label map.

Coordinates are those of all annotation tools: (0, 0) is the upper left corner of the image, so that the pixel in
column c and row r has its centre at (c + 0.5, r + 0.5). A pixel belongs to a shape if its centre lies inside. A centre
on the very edge of a polygon belongs to what lies right of it, or below: neighbours with a common edge leave no pixel
out and share none. Where an outline crosses itself, what is enclosed twice is outside (even-odd rule).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from mmseg_attn.common.errors import UserError

from .content import Bitmap, Box, Ellipse, Line, Polygons, Runs, Shape, Size

IGNORED = 255
AT_ONCE = 1 << 18  # crossings of edges and rows


@dataclass(frozen=True)
class Region:
    """The pixels of a shape: ``inside`` (H, W), bool, with its upper left pixel at column ``left`` and row ``top``."""
    left: int
    top: int
    inside: np.ndarray

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.inside))


def draw(shapes: tuple[Shape, ...], numbers: dict[str, int], size: Size, fill: int, line_width: float,
         larger_first: bool) -> tuple[np.ndarray, int]:
    """The label map (H, W), uint8, and how many shapes hold no centre of a pixel.

    Args:
        shapes: the later ones are drawn over the earlier ones.
        numbers: of the labels, 0 to 255.
        size: width and height of the image.
        fill: the number of pixels in no shape.
        line_width: of lines, in pixels.
        larger_first: draw the shapes by the number of their pixels instead, the largest first.

    Raises:
        UserError: a mask does not fit the image.
    """
    if larger_first:
        # Drawn twice, and not all kept: a thousand of the size of the image would take a thousand times its memory.
        shapes = tuple(sorted(shapes, key=lambda shape: region_of(shape, size, line_width).area, reverse=True))
    label, without_pixels = np.full(size[::-1], fill, np.uint8), 0
    for shape in shapes:
        region = region_of(shape, size, line_width)
        height, width = region.inside.shape
        label[region.top:region.top + height, region.left:region.left + width][region.inside] = numbers[shape.label]
        without_pixels += region.area == 0
    return label, without_pixels


def region_of(shape: Shape, size: Size, line_width: float) -> Region:
    """The pixels of a shape in an image of this size.

    Raises:
        UserError: it is a mask that does not fit the image.
    """
    outline = shape.outline
    if isinstance(outline, Polygons):
        return _polygons(outline, size)
    if isinstance(outline, Ellipse):
        return _ellipse(outline, size)
    if isinstance(outline, Line):
        return _line(outline, size, line_width / 2)
    # Looked at before anything of its size is allocated: the numbers come from a file.
    _check_box(outline.box, size, shape.where)
    left, top, width, height = outline.box
    if isinstance(outline, Runs):
        flat = np.repeat(np.arange(len(outline.counts)) % 2 == 1, outline.counts)
        return Region(left, top, flat.reshape(width, height).T if outline.down else flat.reshape(height, width))
    return Region(left, top, _bitmap(outline, shape.where))


def _check_box(box: Box, size: Size, where: str) -> None:
    left, top, width, height = box
    if left < 0 or top < 0 or left + width > size[0] or top + height > size[1]:
        raise UserError(f'{where}: the mask of {width} x {height} pixels at column {left}, row {top} does not lie in '
                        f'the image of {size[0]} x {size[1]}')


def _bitmap(outline: Bitmap, where: str) -> np.ndarray:
    width, height = outline.box[2:]
    try:
        image = Image.open(io.BytesIO(outline.data))
        if image.size != (width, height):
            raise UserError(f'{where}: the mask has {image.size[0]} x {image.size[1]} pixels, and its two points '
                            f'are those of {width} x {height}')
        array = np.array(image)
    except UserError:
        raise
    except Exception as error:  # decoders raise whatever they come across
        raise UserError(f'{where}: the mask is no picture that can be read ({error})') from error
    return array.astype(bool) if array.ndim == 2 else array.astype(bool).any(axis=-1)


def _window(low: np.ndarray, high: np.ndarray, size: Size) -> Box:
    """The pixels of the image whose centres may lie between two corners (x, y)."""
    first = np.clip(np.floor(low - 0.5), 0, size).astype(int)
    end = np.clip(np.ceil(high + 0.5), first, size).astype(int)
    return int(first[0]), int(first[1]), int(end[0] - first[0]), int(end[1] - first[1])


def _polygons(outline: Polygons, size: Size) -> Region:
    points = np.concatenate(outline.parts)
    window = _window(points.min(axis=0), points.max(axis=0), size)
    inside = np.zeros(window[:1:-1], bool)
    for part in outline.parts:
        inside |= _inside_polygon(part, window)
    return Region(window[0], window[1], inside)


def _inside_polygon(points: np.ndarray, window: Box) -> np.ndarray:
    left, top, width, height = window
    others = np.roll(points, -1, axis=0)
    # From above to below, so that neighbours compute the same crossings with a common edge.
    down = (points[:, 1] <= others[:, 1])[:, None]
    starts, ends = np.where(down, points, others), np.where(down, others, points)
    # The rows whose centres lie between the ends.
    first, end = (np.clip(np.ceil(y - 0.5), top, top + height).astype(np.int64) for y in (starts[:, 1], ends[:, 1]))
    counts = end - first
    # A centre is inside if an odd number of edges cross its row left of it. Sums of uint8 stay odd or even beyond 255.
    crossings = np.zeros((height, width + 1), np.uint8)
    for edges in _portions(counts):
        n = counts[edges]
        x0, y0, x1, y1 = np.repeat(np.concatenate([starts[edges], ends[edges]], axis=1), n, axis=0).T
        rows = np.arange(n.sum()) + np.repeat(first[edges] - (np.cumsum(n) - n), n)
        columns = np.ceil(x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0)) - 0.5)
        # The quotient is rounded, and a centre on the edge may be missed by one; the products are exact for most.
        reach = (rows + 0.5 - y0) * (x1 - x0)
        columns -= (columns - 0.5 - x0) * (y1 - y0) >= reach
        columns += (columns + 0.5 - x0) * (y1 - y0) < reach
        np.add.at(crossings, (rows - top, np.clip(columns, left, left + width).astype(np.int64) - left), 1)
    return np.cumsum(crossings, axis=1, dtype=np.uint8)[:, :width] % 2 == 1


def _portions(counts: np.ndarray) -> Iterator[slice]:
    """Parts of the edges that together cross about :data:`AT_ONCE` rows, so that they fit into the memory."""
    portion = np.cumsum(counts) // AT_ONCE
    borders = [0, *(np.flatnonzero(np.diff(portion)) + 1).tolist(), len(counts)]
    return (slice(start, end) for start, end in pairwise(borders))


def _centres(window: Box) -> tuple[np.ndarray, np.ndarray]:
    """x (1, W) and y (H, 1) of the centres of the pixels."""
    left, top, width, height = window
    return np.arange(left, left + width)[None] + 0.5, np.arange(top, top + height)[:, None] + 0.5


def _ellipse(outline: Ellipse, size: Size) -> Region:
    centre, radii = np.array(outline.centre), np.array(outline.radii)
    window = _window(centre - radii.max(), centre + radii.max(), size)
    if not radii.all():
        return Region(window[0], window[1], np.zeros(window[:1:-1], bool))
    x, y = _centres(window)
    cosine, sine = np.cos(np.radians(outline.degrees)), np.sin(np.radians(outline.degrees))
    along = (x - centre[0]) * cosine + (y - centre[1]) * sine
    across = (y - centre[1]) * cosine - (x - centre[0]) * sine
    with np.errstate(over='ignore'):  # beside a radius of nearly 0 all centres are infinitely far away
        return Region(window[0], window[1], (along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1)


def _line(outline: Line, size: Size, reach: float) -> Region:
    """Centres no farther from the line than ``reach``; the ends are round."""
    points = outline.points
    left, top, width, height = _window(points.min(axis=0) - reach, points.max(axis=0) + reach, size)
    inside = np.zeros((height, width), bool)
    for start, end in pairwise(points):
        part = _window(np.minimum(start, end) - reach, np.maximum(start, end) + reach, size)
        x, y = _centres(part)
        step = end - start
        length = step @ step
        # The place of the nearest point of the segment, from 0 to 1.
        with np.errstate(over='ignore'):
            place = ((x - start[0]) * step[0] + (y - start[1]) * step[1]) / length if length else np.zeros(1)
        place = np.clip(place, 0, 1)
        near = (x - start[0] - place * step[0]) ** 2 + (y - start[1] - place * step[1]) ** 2 <= reach ** 2
        rows, columns = part[1] - top, part[0] - left
        inside[rows:rows + part[3], columns:columns + part[2]] |= near
    return Region(left, top, inside)
