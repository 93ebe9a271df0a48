"""Predictions laid over their pictures."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmseg_attn.common.display import displayable, how_displayed

SMALLEST = 9  # pixels of a font that can still be read
SPACING = 1.35


class Painter:
    """Lays the colours of classes over pictures, with a legend in the upper left corner.

    Args:
        classes: names.
        palette: their colours, (R, G, B) from 0 to 255.
        opacity: of the colours, 0 to 1.
        legend: whether there is one.
        bands: which channels of pictures are shown; see :func:`mmseg_attn.common.display.displayable`.

    Attributes:
        displayed: what is to be said of how pictures are shown.
    """

    def __init__(self, classes: list[str], palette: list[tuple[int, int, int]], opacity: float = 0.5,
                 legend: bool = True, bands: tuple[int, ...] | None = None):
        self.classes = classes
        self.palette = np.array(palette, np.uint8)
        self.opacity = opacity
        self.legend = legend
        self.bands = bands
        self.displayed: set[str] = set()

    def __call__(self, picture: np.ndarray, labels: np.ndarray, named: set[int] | None = None) -> np.ndarray:
        """A picture as the test pipeline loads it, with its labels (H, W) -> (H, W, 3) RGB, uint8.

        ``named`` are the classes of the legend: those of the picture by default.
        """
        if said := how_displayed(picture, self.bands):
            self.displayed.add(said)
        shown = displayable(picture, self.bands)
        painted = cv2.addWeighted(shown, 1 - self.opacity, self.palette[labels], self.opacity, 0)
        if not self.legend:
            return painted
        named = np.unique(labels).tolist() if named is None else sorted(named)
        return add_legend(painted, [(self.classes[i], tuple(self.palette[i].tolist())) for i in named])


def add_legend(picture: np.ndarray, entries: list[tuple[str, tuple[int, int, int]]]) -> np.ndarray:
    """Names beside their colours in the upper left corner of (H, W, 3) RGB; as many as there is room for."""
    height = picture.shape[0]
    size = max(min(height // 32, 28, int(height / SPACING / (len(entries) + 1))), SMALLEST)
    step = round(size * SPACING)
    room = height // step - 1
    if room < 1:
        return picture
    if len(entries) > room:
        entries = [*entries[:room - 1], (f'and {len(entries) - room + 1} more', None)]
    font = _font(size)
    text_at = round(2.2 * size)
    right = text_at + round(max(font.getlength(name) for name, _ in entries)) + size // 2
    picture = picture.copy()
    box = picture[:step * len(entries) + size // 2, :right]
    box[:] = box * 0.35
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for i, (name, colour) in enumerate(entries):
        middle = round((i + 0.5) * step + size / 4)
        if colour is not None:
            draw.rectangle((size // 2, middle - size // 2, round(1.8 * size), middle + size // 2), fill=colour,
                           outline='white')
        draw.text((text_at, middle), name, fill='white', font=font, anchor='lm')
    return np.array(image)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib
    return ImageFont.truetype(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'), size)
