"""The pictures of the report."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image

from mmseg_attn.common.display import displayable
from mmseg_attn.common.files import atomic_write

from .counts import TRIMAP_WIDTHS
from .metric import Maps
from .summary import divide, iou, mean

DPI = 110
# With more classes than this, cells have no room for a number.
MOST_NUMBERS = 25
SIDE = 320  # pixels of the longer side of a picture
WRONG = np.array([220, 50, 40], np.uint8)


def draw_confusion(path: Path, confusion: np.ndarray, classes: list[str]) -> None:
    """Of the pixels of each class, in per cent, which are predicted as what."""
    shares = 100 * divide(confusion, confusion.sum(axis=1, keepdims=True))
    side = max(0.42 * len(classes) + 2.5, 5)
    figure = Figure(figsize=(side + 1, side), dpi=DPI, layout='constrained')
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap='Blues', vmin=0, vmax=100)
    axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize=8)
    axes.set_yticks(range(len(classes)), classes, fontsize=8)
    axes.set(xlabel='prediction', ylabel='label')
    if len(classes) <= MOST_NUMBERS:
        for i, row in enumerate(shares):
            for j, share in enumerate(row):
                if share >= 0.5:
                    axes.text(j, i, f'{share:.0f}', ha='center', va='center', fontsize=7,
                              color='white' if share > 60 else 'black')
    figure.colorbar(shown, ax=axes, label='% of the pixels of the label', shrink=0.7)
    _save(figure, path)


def draw_trimap(path: Path, trimap: np.ndarray, whole: float) -> None:
    """mIoU in bands of growing width along the borders of the labels, beside that of whole images."""
    figure = Figure(figsize=(6, 4), dpi=DPI, layout='constrained')
    axes = figure.subplots()
    axes.plot(TRIMAP_WIDTHS, [100 * mean(values) for values in iou(trimap)], marker='o', label='band')
    axes.axhline(100 * whole, color='black', linestyle='--', linewidth=1, label='whole images')
    axes.set_xscale('log', base=2)
    axes.set_xticks(TRIMAP_WIDTHS, map(str, TRIMAP_WIDTHS))
    axes.set(xlabel='pixels to each side of a border between two labels', ylabel='mIoU, %')
    axes.grid(alpha=0.3)
    axes.legend()
    _save(figure, path)


def draw_calibration(path: Path, calibration: np.ndarray, error: float) -> None:
    """Reliability diagram: accuracy of the pixels of each bin of confidence, and how many there are."""
    pixels, confidence, right = calibration.T
    ends = np.linspace(0, 1, len(pixels) + 1)
    width = ends[1] - ends[0]
    figure = Figure(figsize=(6, 5), dpi=DPI, layout='constrained')
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.bar(ends[:-1], divide(right, pixels), width, align='edge', edgecolor='white', label='accuracy')
    upper.plot(divide(confidence, pixels), divide(confidence, pixels), color='black', marker='.', linestyle='--',
               linewidth=1, label='mean confidence')
    upper.set(ylabel='accuracy', ylim=(0, 1), title=f'expected calibration error {100 * error:.2f} %')
    upper.legend(loc='upper left')
    lower.bar(ends[:-1], 100 * divide(pixels, pixels.sum()), width, align='edge', edgecolor='white', color='grey')
    lower.set(xlabel='confidence: probability of the predicted class', ylabel='% of pixels', xlim=(0, 1))
    _save(figure, path)


def draw_image(path: Path, maps: Maps, classes: list[str], palette: np.ndarray, seen: np.ndarray) -> None:
    """The image, its labels, the prediction and in red the wrong pixels, side by side, with a legend below."""
    photograph = _photograph(maps)
    labels, predicted = np.where(seen[..., None], palette[np.where(seen, maps.label, 0)], 0), palette[maps.prediction]
    grey = np.repeat(photograph.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)
    wrong = np.where((seen & (maps.label != maps.prediction))[..., None], WRONG, grey // 2 + 96)
    height, width = maps.label.shape
    figure = Figure(figsize=(12, 3 * height / width + 0.7), dpi=DPI, layout='constrained')
    tiles = ('image', photograph), ('labels', labels), ('prediction', predicted), ('wrong pixels', wrong)
    for axes, (title, tile) in zip(figure.subplots(1, len(tiles)), tiles, strict=True):
        axes.set_title(title, fontsize=8)
        axes.imshow(_small(tile))
        axes.set_axis_off()
    present = np.union1d(np.unique(maps.label[seen]), np.unique(maps.prediction)).astype(int)
    patches = [Patch(facecolor=palette[i] / 255, edgecolor='black', label=classes[i]) for i in present]
    figure.legend(handles=patches, loc='outside lower center', ncols=min(len(patches), 10), fontsize=7, frameon=False)
    _save(figure, path)


def _photograph(maps: Maps) -> np.ndarray:
    """(H, W, 3) at the size of the labels; grey where the file is of a kind that only the config's pipeline reads."""
    height, width = maps.label.shape
    try:
        with Image.open(maps.result.path) as image:
            pixels = np.asarray(image.convert('RGB').resize((width, height)))
    except (OSError, ValueError):
        return np.full((height, width, 3), 128, np.uint8)
    return displayable(pixels)


def _small(tile: np.ndarray) -> np.ndarray:
    image = Image.fromarray(tile.astype(np.uint8))
    image.thumbnail((SIDE, SIDE), Image.Resampling.NEAREST)
    return np.asarray(image)


def _save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as partial:
        figure.savefig(partial)
