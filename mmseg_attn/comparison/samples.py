"""Predictions of all heads for the same images, side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.models import BaseSegmentor
from PIL import Image

from mmseg_attn.common.config import known_channels
from mmseg_attn.common.display import displayable
from mmseg_attn.common.files import atomic_write
from mmseg_attn.common.pictures import PictureReader
from mmseg_attn.datasets.reading_errors import name_files_in_errors
from mmseg_attn.registry import DATASETS

from .names import display_name

COLUMNS = 8
TILE_SIDE = 200  # pixels of the longer side of a tile
IGNORED = (0, 0, 0)


@dataclass(frozen=True)
class Sample:
    """An image (H, W, 3) of the validation data, its labels (H, W), and what each head predicts (H, W)."""

    name: str
    image: np.ndarray
    truth: np.ndarray
    predictions: dict[str, np.ndarray]


@torch.no_grad()
def predict(models: dict[str, BaseSegmentor], cfg: Config, count: int,
            after_head: Callable[[], None] = lambda: None) -> tuple[list[Sample], tuple[int, int, int]]:
    """What each head makes of ``count`` images spread evenly over the validation data.

    Returns:
        The samples, and the shape (C, H, W) in which the networks saw the first of them.
    """
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    name_files_in_errors(dataset, known_channels(cfg.model))
    places = np.linspace(0, len(dataset) - 1, min(count, len(dataset)) + 2).round().astype(int)[1:-1]
    items = [dataset[int(place)] for place in dict.fromkeys(places.tolist())]
    predictions = {}
    for name, model in models.items():
        predictions[name] = [
            model.val_step(pseudo_collate([item]))[0].pred_sem_seg.data[0].long().cpu().numpy() for item in items]
        after_head()
    reader, samples = PictureReader(cfg), []
    for i, item in enumerate(items):
        meta = item['data_samples']
        image = displayable(reader.load(meta.img_path).pixels)
        samples.append(Sample(Path(meta.img_path).stem, image, meta.gt_sem_seg.data[0].numpy(),
                              {name: found[i] for name, found in predictions.items()}))
    return samples, tuple(items[0]['inputs'].shape)


def draw(samples: list[Sample], meta: dict, path: Path) -> None:
    """Writes a picture: for each sample the image, its labels and the predictions, with a legend of the classes."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch
    tiles = [[(sample.name, sample.image), ('labels', colour(sample.truth, meta['palette'])),
              *((display_name(head), colour(labels, meta['palette']))
                for head, labels in sample.predictions.items())]
             for sample in samples]
    columns = min(COLUMNS, len(tiles[0]))
    rows_each = -(-len(tiles[0]) // columns)
    height, width = samples[0].truth.shape
    figure = Figure(figsize=(2 * columns, (2 * height / width + 0.25) * rows_each * len(samples) + 0.5), dpi=110,
                    layout='constrained')
    grid = figure.subplots(rows_each * len(samples), columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, row in enumerate(tiles):
        for axes, (title, picture) in zip(grid[number * rows_each:(number + 1) * rows_each].flat, row, strict=False):
            axes.set_title(title, fontsize=8)
            axes.imshow(_small(picture))
    shown = np.unique(np.concatenate([np.unique(sample.truth) for sample in samples]))
    patches = [Patch(facecolor=np.divide(meta['palette'][i], 255), edgecolor='black', label=meta['classes'][i])
               for i in shown if i < len(meta['classes'])]
    figure.legend(handles=patches, loc='outside lower center', ncols=8, fontsize=8)
    with atomic_write(path) as partial:
        figure.savefig(partial)


def colour(labels: np.ndarray, palette: list) -> np.ndarray:
    """Labels (H, W) as colours (H, W, 3); what is no class is black."""
    table = np.zeros((256, 3), np.uint8)
    table[:] = IGNORED
    table[:len(palette)] = palette
    return table[labels.astype(np.uint8)]


def _small(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture)
    scale = TILE_SIDE / max(image.size)
    if scale >= 1:
        return picture
    return np.asarray(image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.NEAREST))
