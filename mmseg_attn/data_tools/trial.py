"""Sends images through the whole pipeline, as training does."""

from mmengine.config import Config
from mmengine.dataset import Compose

from mmseg_attn.common.config import known_channels
from mmseg_attn.common.inputs import InputError
from mmseg_attn.datasets.reading_errors import DataError, item_of, name_files_in_errors

from .config_data import ConfigData
from .findings import Finding, Level, count
from .pairs import PairContent


def try_images(cfg: Config, data: ConfigData, contents: list[PairContent]) -> list[Finding]:
    """What stops the first image of each kind, of those that can be read, on its way to the network.

    Of one kind are images with the same number of channels, whose values are all finite or not, and of 8 bits or not.
    """
    if data.dataset is None:
        return []
    try:
        if isinstance(getattr(data.dataset, 'pipeline', None), Compose):
            data.dataset.pipeline = Compose(data.pipeline)
    except Exception as error:  # of a transform, which may be the user's own
        return [Finding(Level.ERROR, f'{data.where}.pipeline cannot be built: {type(error).__name__}: {error}')]
    name_files_in_errors(data.dataset, known_channels(cfg.model))
    kinds: dict[tuple, list[int]] = {}
    for i, content in enumerate(contents):
        kinds.setdefault((content.channels, content.is_finite, content.range), []).append(i)
    return [finding for places in kinds.values() for finding in _try(data, contents, places)]


def _try(data: ConfigData, contents: list[PairContent], places: list[int]) -> list[Finding]:
    place = next((i for i in places if not contents[i].problems), None)
    if place is None:
        return []
    try:
        item_of(data.dataset, place)
    except InputError as error:
        title, _, advice = str(error).removeprefix(f'{contents[place].pair.image}: ').partition('\n')
        files = [contents[i].pair.image for i in places]
        return [Finding(Level.ERROR, f'{count(files, "image")}: {title}', files, advice.strip())]
    except DataError as error:
        title, _, advice = str(error).partition('\n')
        return [Finding(Level.ERROR, title, advice=advice.strip())]
    return []
