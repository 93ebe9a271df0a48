"""The files of a prediction."""

from pathlib import Path

import numpy as np
from PIL import Image

from mmseg_attn.common.files import atomic_write


def save_mask(path: Path, labels: np.ndarray, palette: list[tuple[int, int, int]]) -> None:
    """Labels (H, W), uint8 -> a PNG whose pixels are their numbers, shown in the colours of the palette."""
    with atomic_write(path) as partial:
        mask_image(labels, palette).save(partial)


def mask_image(labels: np.ndarray, palette: list[tuple[int, int, int]]) -> Image.Image:
    image = Image.fromarray(labels)
    image.putpalette([value for colour in palette for value in colour])
    return image


def save_picture(path: Path, picture: np.ndarray) -> None:
    """(H, W, 3) RGB, uint8 -> PNG."""
    with atomic_write(path) as partial:
        Image.fromarray(picture).save(partial)


def save_probabilities(path: Path, probabilities: np.ndarray, channels: list[str]) -> None:
    """Probabilities (K, H, W) and the K names of their classes -> NPZ with both, as 'probabilities' and 'classes'."""
    with atomic_write(path) as partial:
        np.savez_compressed(partial, probabilities=probabilities, classes=np.array(channels))
