"""Draws one ContextShapes image: grey shapes whose class only a distant coloured key tells."""

import numpy as np

IMAGE_SIZE = 160
KEY_SIZE = 20
RADII = (10, 15)
SHAPES_PER_IMAGE = (3, 5)
# Free pixels between the key and every shape, along the rows or along the columns. The receptive field of the
# backbone with mmseg's plain FCN head reaches less far in either direction; a test compares the two.
KEY_DISTANCE = 88

KEY_COLOURS = ((220, 60, 60), (60, 180, 60), (70, 90, 230))
KEY_LABEL = len(KEY_COLOURS) + 1
BACKGROUND_GREY, SHAPE_GREY, NOISE = 90, 180, 10

# Boxes are (top, left, bottom, right), the last two exclusive.
Box = tuple[int, int, int, int]


def draw_image(random: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    """One image (H, W, 3), uint8 RGB, and its labels (H, W), uint8.

    Labels: 0 background; 1, 2, 3 a shape beside a red, green or blue key; 4 the key.
    """
    key = _place_key(random)
    shapes = _place_shapes(random, key)
    while len(shapes) < SHAPES_PER_IMAGE[0]:
        key = _place_key(random)
        shapes = _place_shapes(random, key)

    colour = random.randint(len(KEY_COLOURS))
    label = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    image = np.full((IMAGE_SIZE, IMAGE_SIZE, 3), BACKGROUND_GREY, np.float64)
    for shape in shapes:
        mask = _SHAPES[random.randint(len(_SHAPES))](shape)
        label[mask] = colour + 1
        image[mask] = SHAPE_GREY
    top, left, bottom, right = key
    label[top:bottom, left:right] = KEY_LABEL
    image[top:bottom, left:right] = KEY_COLOURS[colour]
    image += random.normal(0, NOISE, size=(IMAGE_SIZE, IMAGE_SIZE, 1))
    return image.clip(0, 255).astype(np.uint8), label


def _place_key(random: np.random.RandomState) -> Box:
    """A key near enough to one side of the image to leave room for shapes on the opposite side."""
    near = random.randint(IMAGE_SIZE - KEY_SIZE - KEY_DISTANCE - 2 * RADII[1])
    if random.randint(2):
        near = IMAGE_SIZE - KEY_SIZE - near
    along = random.randint(IMAGE_SIZE - KEY_SIZE)
    top, left = (near, along) if random.randint(2) else (along, near)
    return top, left, top + KEY_SIZE, left + KEY_SIZE


def _place_shapes(random: np.random.RandomState, key: Box) -> list[Box]:
    wanted = random.randint(SHAPES_PER_IMAGE[0], SHAPES_PER_IMAGE[1] + 1)
    shapes: list[Box] = []
    for _ in range(500):
        if len(shapes) == wanted:
            break
        size = 2 * random.randint(RADII[0], RADII[1] + 1) + 1
        top, left = random.randint(IMAGE_SIZE - size), random.randint(IMAGE_SIZE - size)
        box = (top, left, top + size, left + size)
        if gap(box, key) >= KEY_DISTANCE and all(gap(box, other) > 2 for other in shapes):
            shapes.append(box)
    return shapes


def gap(a: Box, b: Box) -> int:
    """Free pixels between two boxes, along the rows or along the columns, whichever is more."""
    rows = max(a[0] - b[2], b[0] - a[2])
    columns = max(a[1] - b[3], b[1] - a[3])
    return max(rows, columns)


def _grid(box: Box) -> tuple[np.ndarray, np.ndarray, int]:
    """Rows (H, 1) and columns (1, W) relative to the box's centre, and the box's radius."""
    rows, columns = np.ogrid[:IMAGE_SIZE, :IMAGE_SIZE]
    radius = (box[2] - box[0]) // 2
    return rows - box[0] - radius, columns - box[1] - radius, radius


def _circle(box: Box) -> np.ndarray:
    row, column, radius = _grid(box)
    return row**2 + column**2 <= radius**2


def _square(box: Box) -> np.ndarray:
    row, column, radius = _grid(box)
    return np.maximum(abs(row), abs(column)) <= radius


def _triangle(box: Box) -> np.ndarray:
    row, column, radius = _grid(box)
    return (abs(row) <= radius) & (2 * abs(column) <= row + radius)


_SHAPES = (_circle, _square, _triangle)
