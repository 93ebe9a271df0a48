"""How a config reads an image for testing."""

import copy
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import LoadAnnotations as BaseLoadAnnotations
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from .classes import datasets_in
from .errors import UserError
from .image_files import ImageFileError, decode, hint_at, image_size, read_bytes, reason_of

OPENMMLAB = 'mmcv', 'mmseg', 'mmengine'
# In the names of transforms that load labels or map them.
LABEL_WORDS = 'Annotation', 'Label'
PIPELINE = 'the pipeline of test_dataloader.dataset'


@dataclass
class Picture:
    """A picture as the first steps of a pipeline load it.

    Attributes:
        results: what they have noted, for the steps that follow.
    """

    results: dict

    @property
    def pixels(self) -> np.ndarray:
        """(H, W) or (H, W, C), BGR where there are three channels, of the type that the config chooses."""
        return self.results['img']


class PictureReader:
    """The test pipeline of a config, less the loading of labels, for one picture at a time.

    Its steps are those of the config, whatever they are: what reaches the network is what tools/test.py gives it.

    Raises:
        UserError: a step cannot be built, none loads an image, or the pipeline makes several pictures of one.
    """

    def __init__(self, cfg: Config):
        init_default_scope(cfg.get('default_scope', 'mmseg'))
        self.steps: list[Callable[[dict], Any]] = [_built(step) for step in testing_steps(cfg)]
        # Behind the loading of a file there may be more steps of loading, of channels from other files.
        self.first = next((i for i, step in enumerate(self.steps) if not _loads(step, i)), len(self.steps))
        if not self.first:
            raise UserError(f'{PIPELINE} must begin with a transform that loads an image, and begins with '
                            f'{type(self.steps[0]).__name__ if self.steps else "nothing"}')

    def load(self, path: str | Path) -> Picture:
        """An image file as the pipeline loads it.

        Raises:
            UserError: the file is missing, no image, or damaged. (OpenCV alone would fill what is missing with grey.)
        """
        self._check_file(path)
        results: Any = _told_of(str(path))
        for step in self.steps[:self.first]:
            try:
                results = step(results)
            except Exception as error:  # decoders raise whatever they come across
                raise UserError(f'{path}: {type(step).__name__} of the test pipeline cannot load it: '
                                f'{reason_of(error)}') from error
        if not isinstance(results, dict) or not isinstance(results.get('img'), np.ndarray):
            raise UserError(f'{path}: {PIPELINE} makes no array of it')
        return Picture(results)

    def from_array(self, pixels: np.ndarray) -> Picture:
        """Pixels as the pipeline would load them: (H, W, C), BGR where there are three channels."""
        first = self.steps[0]
        if isinstance(first, LoadImageFromFile) and first.to_float32:
            pixels = pixels.astype(np.float32)
        return Picture(dict(_told_of(None), img=pixels, img_shape=pixels.shape[:2], ori_shape=pixels.shape[:2]))

    def from_frame(self, frame: np.ndarray) -> Picture:
        """The frame of a video, (H, W, 3), BGR, uint8, as the pipeline loads a PNG of it.

        Raises:
            UserError: the pipeline loads no such PNG.
        """
        if self.first == 1 and _takes_colours(self.steps[0]):
            return self.from_array(frame)
        # By a file: OpenCV makes another grey of a colour PNG than of an array, and Pillow another again.
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, 'frame.png')
            path.write_bytes(cv2.imencode('.png', frame, [cv2.IMWRITE_PNG_COMPRESSION, 0])[1].tobytes())
            try:
                return self.load(path)
            except UserError as error:
                reason = str(error).removeprefix(f'{path}: ')
                raise UserError(f'a frame of a video has 8-bit colours, and such images are not what this config '
                                f'reads: {reason}') from error

    def prepare(self, picture: Picture) -> dict:
        """A picture -> ``inputs`` (C, H, W) and ``data_samples`` of the whole pipeline.

        Raises:
            UserError: the steps give something else.
        """
        results = dict(picture.results, seg_fields=[])
        for step in self.steps[self.first:]:
            results = step(results)
        if not isinstance(results, dict) or 'inputs' not in results or 'data_samples' not in results:
            raise UserError(f'{PIPELINE} does not end with PackSegInputs')
        return results

    def _check_file(self, path: str | Path) -> None:
        if not Path(path).is_file():
            raise UserError(f'there is no image {path}{hint_at(Path(path))}')
        step = self.steps[0]
        if type(step).__module__.partition('.')[0] in OPENMMLAB and isinstance(step, LoadImageFromFile):
            check_image_file(path, step.imdecode_backend)


def _takes_colours(step: Any) -> bool:
    """Whether a transform loads an image of 8-bit colours, without an orientation, as its very pixels."""
    return (type(step) is LoadImageFromFile and step.imdecode_backend in ('cv2', 'pillow')
            and step.color_type in ('color', 'color_ignore_orientation', 'unchanged'))


def _told_of(path: str | None) -> dict:
    """What mmseg's data sets tell of an image before any step."""
    return dict(img_path=path, label_map=None, reduce_zero_label=False, seg_fields=[], sample_idx=0)


def check_image_file(path: str | Path, backend: str | None = 'cv2') -> None:
    """Decodes an image file down to the last pixel, which mmcv's backends do not all do.

    Raises:
        UserError: the file is missing, no image, or damaged.
    """
    try:
        data = read_bytes(str(path))
        if backend == 'pillow':
            decode(data)
        elif backend != 'tifffile':  # which finds by itself what is missing
            image_size(data)
    except ImageFileError as error:
        raise UserError(f'there is no image {path}{hint_at(Path(path))}' if error.missing else
                        f'{path}: unreadable image: {error}') from error
    except Exception as error:  # decoders raise whatever they come across
        raise UserError(f'{path}: unreadable image: {reason_of(error)}') from error


def own_loading(pipeline: list[dict]) -> tuple[dict, ...]:
    """The steps that load images; none where that is mmcv's LoadImageFromFile with its usual settings.

    Raises:
        UserError: one cannot be built.
    """
    steps = [step for step in pipeline if not reads_labels(step)]
    built: list[Any] = []
    for step in steps:
        transform = _built(step)
        if not _loads(transform, len(built)):
            break
        built.append(transform)
    usual = built and type(built[0]) is LoadImageFromFile and (
        built[0].color_type, built[0].imdecode_backend) == ('color', 'cv2')
    return () if len(built) == 1 and usual else tuple(steps[:len(built)])


def own_labelling(pipeline: list[dict]) -> tuple[dict, ...]:
    """The steps until labels are loaded; none where that is mmseg's LoadAnnotations with its usual settings.

    Raises:
        UserError: one cannot be built.
    """
    places = [i for i, step in enumerate(pipeline) if reads_labels(step)]
    if not places:
        # One of the user's own may do it under any name.
        return tuple(pipeline) if any(_is_own(_built(step)) for step in pipeline) else ()
    end = places[0] + 1
    while end in places:  # what maps the labels right behind their loading
        end += 1
    if places[0] + 1 == end and _is_usual(_built(pipeline[places[0]])):
        return ()
    return tuple(pipeline[:end])


def load_by(steps: tuple[dict, ...], told: dict) -> np.ndarray:
    """The pixels of an image as these steps load it, from what the data set tells."""
    results: Any = copy.deepcopy(told)
    for step in steps:
        results = _built(step)(results)
    return results['img']


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


def name_of_step(step: dict) -> str:
    """The name of a transform without its scope."""
    name = step.get('type')
    return name.rpartition('.')[2] if isinstance(name, str) else getattr(name, '__name__', str(name))


def reads_labels(step: dict) -> bool:
    """Whether a step loads labels, or maps those that are loaded: by its class or its name."""
    cls = TRANSFORMS.get(step['type']) if isinstance(step.get('type'), str) else step.get('type')
    is_subclass = isinstance(cls, type) and issubclass(cls, BaseLoadAnnotations)
    return is_subclass or any(word in name_of_step(step) for word in LABEL_WORDS)


def _built(step: dict) -> Callable[[dict], Any]:
    try:
        return TRANSFORMS.build(step)
    except (KeyError, TypeError, ValueError, AssertionError, ImportError) as error:
        raise UserError(f'{name_of_step(step)} in {PIPELINE} cannot be built: {error}') from error


def _loads(step: object, place: int) -> bool:
    """Whether a transform reads files: by its name, or as one of the user's own that comes first."""
    return (isinstance(step, LoadImageFromFile) or type(step).__name__.startswith('Load')
            or (_is_own(step) and place == 0))


def _is_own(step: object) -> bool:
    return type(step).__module__.partition('.')[0] not in (*OPENMMLAB, 'mmseg_attn')


def _is_usual(step: Any) -> bool:
    return (type(step) is LoadAnnotations and step.imdecode_backend == 'pillow'
            and step.backend_args in (None, dict(backend='local')))
