"""From a data set to what each of its images says; what is finished is kept, so that a run goes on where it stopped."""

import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
from mmengine.config import Config

from mmseg_attn.common.config import known_channels
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import write_text
from mmseg_attn.datasets.reading_errors import name_files_in_errors
from mmseg_attn.inference.prediction import Predictor
from mmseg_attn.registry import DATASETS

from .images import ImageContext, Settings, measure

SETTINGS, IMAGES = 'settings.json', 'images.jsonl'


def run(predictor: Predictor, cfg: Config, settings: Settings, checkpoint: Path, count: int | None, out: Path,
        after_image: Callable[[int, int], None]) -> list[ImageContext]:
    """
    Args:
        predictor: of the model.
        cfg: whose ``test_dataloader`` has the images and labels.
        settings: what is measured.
        checkpoint: of the model; another one does not go on with the results in the folder.
        count: images, evenly over the data set; None for all.
        out: folder of the results.
        after_image: called with the number of images done and of all.

    Raises:
        UserError: the folder has results of other settings; an image or its labels cannot be used.
    """
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    name_files_in_errors(dataset, known_channels(cfg.model))
    places = np.arange(len(dataset))
    if count is not None and count < len(dataset):
        places = np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int))
    _check_folder(out, asdict(settings) | _identity(checkpoint))
    done = _read(out / IMAGES)
    with open(out / IMAGES, 'a', encoding='utf-8') as file:
        for number, place in enumerate(places.tolist()):
            if place not in done:
                item = dataset[place]['data_samples']
                if 'gt_sem_seg' not in item:
                    raise UserError(f'{item.img_path} has no labels, by whose classes attention is counted')
                labels = item.gt_sem_seg.data[0].numpy().astype(np.int64)
                done[place] = measure(predictor, Path(item.img_path), labels, settings, place)
                file.write(json.dumps(dict(asdict(done[place]), place=place)) + '\n')
                file.flush()
            after_image(number + 1, len(places))
    return [done[place] for place in places.tolist()]


def _identity(checkpoint: Path) -> dict:
    state = os.stat(checkpoint)
    return dict(checkpoint=str(checkpoint.absolute()), size=state.st_size, changed=state.st_mtime_ns)


def _check_folder(out: Path, settings: dict) -> None:
    text = json.dumps(settings, indent=1)
    path = out / SETTINGS
    if path.is_file() and path.read_text(encoding='utf-8') != text:
        before = json.loads(path.read_text(encoding='utf-8'))
        other = [key for key, value in json.loads(text).items() if before.get(key) != value]
        raise UserError(f'{out} has results of other settings ({", ".join(other)}): choose another --out, or remove it')
    write_text(path, text)


def _read(path: Path) -> dict[int, ImageContext]:
    """Images done, by their place in the data set. A line that a kill has cut off is measured again."""
    found: dict[int, ImageContext] = {}
    if not path.is_file():
        return found
    whole = []
    for line in path.read_text(encoding='utf-8').splitlines():
        try:
            fields = json.loads(line)
        except json.JSONDecodeError:
            continue
        whole.append(line)
        place = fields.pop('place')
        for key in 'shares', 'distances', 'before', 'after':
            fields[key] = {int(index): value for index, value in fields[key].items()}
        found[place] = ImageContext(**fields)
    write_text(path, ''.join(f'{line}\n' for line in whole))
    return found
