"""A sheet of images with their label maps laid over them."""

from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_attn.common.files import atomic_write

from .class_map import ClassMap
from .config_data import ConfigData
from .label_check import bad_values
from .pairs import PairContent, decode_image, decode_label

COLUMNS, ROWS = 4, 3
MOST_WRONG = 4
SIDE = 400  # pixels of the longer side of a picture
NO_CLASS = (255, 0, 255)
OPACITY = 0.55

Sample = tuple[ConfigData, PairContent]


def draw_sheet(samples: list[Sample], path: Path, title: str) -> int:
    """Writes a PNG of at most twelve samples, those with wrong values first. Returns how many there are.

    What is ignored is left as it is in the image; what is no class is magenta.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    chosen = choose(samples)
    if not chosen:
        return 0
    rows = -(-len(chosen) // COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 3.4 * rows + 1), dpi=100, layout='constrained')
    figure.suptitle(title)
    legend = {}
    all_axes = figure.subplots(rows, COLUMNS, squeeze=False).flatten()
    for axes in all_axes:
        axes.set_axis_off()
    for axes, (data, content) in zip(all_axes, chosen, strict=False):
        picture, shown = overlay(decode_image(content.pair), decode_label(content.pair), data.class_map)
        legend |= shown
        axes.imshow(picture)
        wrong = bool(bad_values(content, data))
        axes.set_title(Path(content.pair.image).stem, fontsize=9, color='red' if wrong else 'black')
    patches = [Patch(color=np.divide(colour, 255), label=name) for (_, name), colour in sorted(legend.items())]
    patches.append(Patch(facecolor='white', edgecolor='black', label='ignored: not coloured'))
    figure.legend(handles=patches, loc='outside lower center', ncols=8, fontsize=9)
    with atomic_write(path) as partial:
        figure.savefig(partial)
    return len(chosen)


def choose(samples: list[Sample]) -> list[Sample]:
    """Some that can be drawn: up to four with wrong values, the others spread evenly over all."""
    drawable = [(data, content) for data, content in samples if content.values and not content.problems]
    wrong = [(data, content) for data, content in drawable if bad_values(content, data)][:MOST_WRONG]
    right = [(data, content) for data, content in drawable if not bad_values(content, data)]
    places = np.linspace(0, len(right) - 1, min(COLUMNS * ROWS - len(wrong), len(right))).round().astype(int)
    return wrong + [right[place] for place in places]


def overlay(image: np.ndarray, raw: np.ndarray, class_map: ClassMap) -> tuple[np.ndarray, dict[tuple, tuple]]:
    """The image (H, W, 3) under the colours of the raw label map (H, W), made small, and (value, name) -> colour."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((SIDE, SIDE))
    label = np.array(Image.fromarray(class_map.table[raw]).resize(picture.size, Image.Resampling.NEAREST))
    colours = np.array(picture, np.float64)
    legend = {}
    ignored = None if class_map.ignore_index is None else class_map.ignore_index % 256  # -1 in 8 bits
    for value in np.unique(label).tolist():
        if value == ignored:
            continue
        key, colour = (256, 'no class'), NO_CLASS
        if value < len(class_map.classes):
            key, colour = (value, class_map.classes[value]), class_map.palette[value]
        legend[key] = colour
        mask = label == value
        colours[mask] = (1 - OPACITY) * colours[mask] + OPACITY * np.array(colour)
    return colours.round().astype(np.uint8), legend
