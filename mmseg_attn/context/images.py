"""What one image says: shares and distances of points of each class, and predictions without other classes."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmseg_attn.analysis.counts import confusion
from mmseg_attn.common.errors import UserError
from mmseg_attn.explain import look
from mmseg_attn.explain.maps import explain
from mmseg_attn.inference.prediction import Predictor

from .masking import replace
from .shares import class_shares, distance_shares


@dataclass(frozen=True)
class Settings:
    """What is measured. ``masked`` are classes that are replaced, one at a time."""

    points: int = 4
    masked: tuple[int, ...] = ()
    fill: str = 'mean'
    block: str = ''
    influence: bool = False
    seed: int = 0


@dataclass
class ImageContext:
    """What was found in one image. Keys are classes.

    Attributes:
        path: of the image.
        kind: 'attention' or 'influence'.
        area: (C,), the share of the pixels of each class.
        shares: (C,), the mean over its points.
        distances: shares of the weight and of the cells by distance, each (kinds,), the mean over its points.
        before: confusion (C, C) of the pixels that are not of the class, in the image as it is; ``after`` in the one
            without the class.
    """

    path: str
    kind: str
    area: list[float]
    shares: dict[int, list[float]]
    distances: dict[int, tuple[list[float], list[float]]]
    before: dict[int, list[list[int]]] = field(default_factory=dict)
    after: dict[int, list[list[int]]] = field(default_factory=dict)


def measure(predictor: Predictor, path: Path, labels: np.ndarray, settings: Settings, number: int) -> ImageContext:
    """
    Args:
        predictor: of the model.
        path: of the image.
        labels: (H, W). What is no class counts nowhere.
        number: of the image in the data set, by which its points are drawn.

    Raises:
        UserError: the labels have another size than the image.
    """
    model = predictor.model
    num_classes = len(model.dataset_meta['classes'])
    view = look(model, path, block=settings.block)
    if labels.shape != view.picture.shape[:2]:
        raise UserError(f'{path} has {view.picture.shape[1]} x {view.picture.shape[0]} pixels, and its labels '
                        f'{labels.shape[1]} x {labels.shape[0]}: the pipeline must load labels after it has resized '
                        'the image, as in mmseg\'s test pipelines')
    seen = (labels >= 0) & (labels < num_classes)
    present = np.unique(labels[seen]).tolist()
    generator = np.random.default_rng([settings.seed, number])
    points, owners = [], []
    for index in present:
        places = np.argwhere(labels == index)
        chosen = places[generator.choice(len(places), min(settings.points, len(places)), replace=False)]
        points += [(int(x), int(y)) for y, x in chosen]
        owners += [index] * len(chosen)
    shares, distances, kind = {}, {}, ''
    if points:
        maps = explain(view, points, settings.influence)
        kind = maps.kind
        of_classes, (weights, cells) = class_shares(maps, labels, num_classes), distance_shares(maps)
        for index in present:
            own = [i for i, owner in enumerate(owners) if owner == index and not np.isnan(of_classes[i]).any()]
            if own:
                shares[index] = of_classes[own].mean(axis=0).tolist()
                distances[index] = weights[own].mean(axis=0).tolist(), cells[own].mean(axis=0).tolist()
    area = np.bincount(labels[seen], minlength=num_classes) / max(seen.sum(), 1)
    found = ImageContext(str(path), kind, area.tolist(), shares, distances)
    _mask(found, predictor, path, labels, view.labels.numpy(), settings, seen)
    return found


def _mask(found: ImageContext, predictor: Predictor, path: Path, labels: np.ndarray, prediction: np.ndarray,
          settings: Settings, seen: np.ndarray) -> None:
    num_classes = len(found.area)
    pixels = None
    for index in settings.masked:
        mask = labels == index
        others = seen & ~mask
        if not mask.any() or not others.any():
            continue
        pixels = predictor.reader.load(path).pixels if pixels is None else pixels
        without = predictor(replace(pixels, mask, settings.fill, settings.seed)).labels
        for into, predicted in (found.before, prediction), (found.after, without):
            into[index] = confusion(labels[others], predicted[others], num_classes).tolist()
