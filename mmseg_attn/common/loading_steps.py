"""Which steps of a pipeline load images and labels."""

import copy
from collections.abc import Callable, Iterable
from itertools import takewhile
from typing import Any

import numpy as np
from mmcv.transforms import LoadAnnotations as BaseLoadAnnotations
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from .classes import datasets_in
from .errors import UserError
from .image_files import reason_of

OPENMMLAB = 'mmcv', 'mmseg', 'mmengine'
# In the names of transforms that load labels or map them.
LABEL_WORDS = 'Annotation', 'Label'
PIPELINE = 'the pipeline of test_dataloader.dataset'


def testing_steps(cfg: Config) -> list[dict]:
    """The steps of testing without those that read labels.

    Raises:
        UserError: one of them makes several pictures of one.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    pipeline = datasets_in(dataset)[0][1].get('pipeline') or cfg.get('test_pipeline') or []
    for step in pipeline:
        if name_of_step(step).endswith(('TestTimeAug', 'MultiScaleFlipAug')):
            raise UserError(f'{PIPELINE} has {name_of_step(step)}, which makes several pictures of one: put it into '
                            'tta_pipeline, which test --tta uses, and the steps for one picture here')
    return [step for step in pipeline if not reads_labels(step)]


def own_loading(pipeline: list[dict], where: str = PIPELINE) -> tuple[dict, ...]:
    """The steps that load images; none where that is mmcv's LoadImageFromFile with its usual settings.

    ``where`` names the pipeline in errors.

    Raises:
        UserError: one cannot be built.
    """
    steps = [step for step in pipeline if not reads_labels(step)]
    built = first_that_load(build_step(step, where) for step in steps)
    usual = built and type(built[0]) is LoadImageFromFile and (
        built[0].color_type, built[0].imdecode_backend) == ('color', 'cv2')
    return () if len(built) == 1 and usual else tuple(steps[:len(built)])


def own_labelling(pipeline: list[dict], where: str = PIPELINE) -> tuple[dict, ...]:
    """The steps until labels are loaded; none where that is mmseg's LoadAnnotations with its usual settings.

    ``where`` names the pipeline in errors.

    Raises:
        UserError: one cannot be built.
    """
    places = [i for i, step in enumerate(pipeline) if reads_labels(step)]
    if not places:
        # One of the user's own may do it under any name.
        return tuple(pipeline) if any(is_own(class_of_step(step)) for step in pipeline) else ()
    end = places[0] + 1
    while end in places:  # what maps the labels right behind their loading
        end += 1
    if places[0] + 1 == end and _is_usual(build_step(pipeline[places[0]], where)):
        return ()
    return tuple(pipeline[:end])


def load_by(steps: tuple[dict, ...], told: dict) -> np.ndarray:
    """The pixels of an image as these steps load it, from what the data set tells."""
    results: Any = copy.deepcopy(told)
    for step in steps:
        results = build_step(step)(results)
    return results['img']


def name_of_step(step: dict) -> str:
    """The name of a transform without its scope."""
    name = step.get('type')
    return name.rpartition('.')[2] if isinstance(name, str) else getattr(name, '__name__', str(name))


def class_of_step(step: dict) -> Any:
    """None where no transform has the name."""
    return TRANSFORMS.get(step['type']) if isinstance(step.get('type'), str) else step.get('type')


def is_own(cls: Any) -> bool:
    """Whether a transform is the user's own, which may do anything."""
    return getattr(cls, '__module__', '').partition('.')[0] not in (*OPENMMLAB, 'mmseg_attn')


def reads_labels(step: dict) -> bool:
    """Whether a step loads labels, or maps those that are loaded: by its class or its name."""
    cls = class_of_step(step)
    is_subclass = isinstance(cls, type) and issubclass(cls, BaseLoadAnnotations)
    return is_subclass or any(word in name_of_step(step) for word in LABEL_WORDS)


def is_for_labels(transform: object) -> bool:
    """:func:`reads_labels` of a step that is built."""
    return (isinstance(transform, BaseLoadAnnotations)
            or any(word in type(transform).__name__ for word in LABEL_WORDS))


def build_step(step: dict, where: str = PIPELINE) -> Callable[[dict], Any]:
    """
    Raises:
        UserError: there is no such transform, its settings do not fit it, or what it needs is not installed.
    """
    try:
        return TRANSFORMS.build(step)
    except Exception as error:  # a transform raises anything, such as RuntimeError where a package is missing
        raise UserError(f'{name_of_step(step)} in {where} cannot be built: {reason_of(error)}') from error


def first_that_load(transforms: Iterable) -> list[Any]:
    """The transforms until the first one that reads no file."""
    return [transform for _, transform in takewhile(_loads, enumerate(transforms))]


def _loads(numbered: tuple[int, Any]) -> bool:
    """Whether a transform reads files: by its name, or as one of the user's own that comes first."""
    place, step = numbered
    return (isinstance(step, LoadImageFromFile) or type(step).__name__.startswith('Load')
            or (is_own(type(step)) and place == 0))


def _is_usual(step: Any) -> bool:
    return (type(step) is LoadAnnotations and step.imdecode_backend == 'pillow'
            and step.backend_args in (None, dict(backend='local')))
