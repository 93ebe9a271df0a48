"""Images of a data set as its pipeline loads them."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dataset import Compose

from mmseg_attn.common.errors import DataError
from mmseg_attn.common.image_files import reason_of
from mmseg_attn.common.loading_steps import first_that_load, is_for_labels

from .reading_errors import leaves_of


class LoadedImages:
    """Loads images by the first steps of the pipeline that they belong to, in data sets inside of wrappers as well.

    Args:
        dataset: a data set of mmengine, which is built.
    """

    def __init__(self, dataset: object):
        self._found: dict[str, tuple[list, dict]] = {}
        self._others = _images_of(dataset)

    def load(self, path: str) -> np.ndarray:
        """The pixels of an image: (H, W) or (H, W, C) of any type, BGR where there are three channels.

        Raises:
            DataError: no data set of mmengine's kind names the image, or it cannot be loaded.
        """
        try:
            while path not in self._found:
                name, *rest = next(self._others)
                self._found.setdefault(name, tuple(rest))
            steps, told = self._found[path]
            results: Any = copy.deepcopy(told)
            for step in steps:
                results = step(results)
            return np.asarray(results['img'])
        except StopIteration:
            raise DataError(f'{path}: no pipeline of the data set is known to load it') from None
        except Exception as error:  # of the user's own code, which raises anything
            raise DataError(f'{path}: loading it again fails: {type(error).__name__}: {reason_of(error)}') from error


def _images_of(dataset: object) -> Iterator[tuple[str, list, dict]]:
    """The path of each image, the steps that load it, and what the data set tells them."""
    for leaf in leaves_of(dataset):
        pipeline = getattr(leaf, 'pipeline', None)
        if not isinstance(pipeline, Compose) or not hasattr(leaf, 'get_data_info'):
            continue
        steps = first_that_load(step for step in pipeline.transforms if not is_for_labels(step))
        for i in range(len(leaf) if steps else 0):
            told = leaf.get_data_info(i)
            yield told['img_path'], steps, told
