"""Files that are whole or absent."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name for writing a file or folder, which becomes ``path`` when the block has ended well."""
    partial = path.with_name(f'partial_{path.name}')
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(partial)
    try:
        yield partial
        if partial.is_dir():
            _remove(path)
        os.replace(partial, path)
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def save_mask(path: Path, labels: np.ndarray, palette: list[tuple[int, int, int]]) -> None:
    """Labels (H, W), uint8 -> a PNG whose pixels are their numbers, shown in the colours of the palette."""
    image = Image.fromarray(labels)
    image.putpalette([value for colour in palette for value in colour])
    with whole(path) as partial:
        image.save(partial)


def save_picture(path: Path, picture: np.ndarray) -> None:
    """(H, W, 3) RGB, uint8 -> PNG."""
    with whole(path) as partial:
        Image.fromarray(picture).save(partial)


def save_probabilities(path: Path, probabilities: np.ndarray, channels: list[str]) -> None:
    """Probabilities (K, H, W) and the K names of their classes -> NPZ with both, as 'probabilities' and 'classes'."""
    with whole(path) as partial:
        np.savez_compressed(partial, probabilities=probabilities, classes=np.array(channels))
