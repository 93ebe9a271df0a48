"""Labels and predictions laid over their pictures."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .display import displayable, how_displayed

SMALLEST = 9  # pixels of a font that can still be read
SPACING = 1.35


class Painter:
    """Lays the colours of classes over pictures, with a legend to the right of the picture.

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

        ``named`` are the classes of the legend: those of the picture by default. Where they are given, as for the
        frames of a video, the legend has room for all classes, so that its size stays.
        """
        if said := how_displayed(picture, self.bands):
            self.displayed.add(said)
        painted = self._paint(displayable(picture, self.bands), labels)
        if not self.legend:
            return painted
        present = np.unique(labels).tolist() if named is None else sorted(named)
        return add_legend(painted, self._entries(present), self.classes if named is not None else None)

    def side_by_side(self, picture: np.ndarray, maps: list[np.ndarray]) -> np.ndarray:
        """A displayable picture (H, W, 3) once for each of some maps of labels, from left to right, with one legend.

        What is no class, such as ignored pixels, keeps the picture's colours.
        """
        tiles = []
        for labels in maps:
            known = (labels >= 0) & (labels < len(self.classes))
            tiles.append(np.where(known[..., None], self._paint(picture, np.where(known, labels, 0)), picture))
        present = [i for i in np.unique(maps).tolist() if 0 <= i < len(self.classes)]
        whole = np.concatenate(tiles, axis=1)
        return add_legend(whole, self._entries(present)) if self.legend and present else whole

    def _paint(self, picture: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return cv2.addWeighted(picture, 1 - self.opacity, self.palette[labels], self.opacity, 0)

    def _entries(self, present: list[int]) -> list[tuple[str, tuple[int, int, int]]]:
        return [(self.classes[i], tuple(self.palette[i].tolist())) for i in present]


def add_legend(picture: np.ndarray, entries: Sequence[tuple[str, tuple[int, int, int] | None]],
               room_for: list[str] | None = None) -> np.ndarray:
    """A picture (H, W, 3) RGB with names beside their colours to the right of it; as many as there is room for.

    ``room_for`` are the names by which the legend is as wide as it is and its letters as large: by default those of
    the entries. Pictures that are lower than a line of text get none.
    """
    height, width = picture.shape[:2]
    names = [name for name, _ in entries] if room_for is None else room_for
    size = max(min(height // 32, 28, int(height / SPACING / (len(names) + 1))), SMALLEST)
    step = round(size * SPACING)
    room = (height - size // 2) // step
    if room < 1:
        return picture
    if len(entries) > room:
        entries = [*entries[:room - 1], (f'and {len(entries) - room + 1} more', None)]
        names = [*names, entries[-1][0]]
    font = _font(size)
    text_at = round(2.2 * size)
    panel_width = text_at + round(max(font.getlength(name) for name in names)) + size // 2
    # An even sum, which more codecs of videos take.
    panel_width += (width + panel_width) % 2
    image = Image.new('RGB', (width + panel_width, height), 'white')
    image.paste(Image.fromarray(picture))
    draw = ImageDraw.Draw(image)
    for i, (name, colour) in enumerate(entries):
        middle = round((i + 0.5) * step + size / 4)
        if colour is not None:
            draw.rectangle((width + size // 2, middle - size // 2, width + round(1.8 * size), middle + size // 2),
                           fill=colour, outline='black')
        draw.text((width + text_at, middle), name, fill='black', font=font, anchor='lm')
    return np.array(image)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib
    return ImageFont.truetype(Path(matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'), size)
