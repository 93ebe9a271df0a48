"""How a config reads an image for testing."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import init_default_scope

from .config import known_channels
from .errors import UserError
from .image_files import ImageFileError, decode, hint_at, image_size, read_bytes, reason_of
from .inputs import Passage
from .loading_steps import OPENMMLAB, PIPELINE, build_step, first_that_load, testing_steps


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
        self.channels = known_channels(cfg.get('model') or {})
        self.steps: list[Callable[[dict], Any]] = [build_step(step) for step in testing_steps(cfg)]
        # Behind the loading of a file there may be more steps of loading, of channels from other files.
        self.first = len(first_that_load(self.steps))
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
            UserError: a step fails, the last gives something else, or it is not what the network takes. The picture is
                not named.
        """
        results: Any = dict(picture.results, seg_fields=[])
        passage = Passage(results)
        for step in self.steps[self.first:]:
            try:
                results = step(results)
            except Exception as error:  # of a transform, which may be the user's own
                raise UserError(f'{type(step).__name__} of the test pipeline fails: {type(error).__name__}: '
                                f'{reason_of(error)}') from error
            passage.note(step, results)
        if not isinstance(results, dict) or 'inputs' not in results or 'data_samples' not in results:
            raise UserError(f'{PIPELINE} does not end with PackSegInputs')
        passage.check(results, self.channels, self.steps[0])
        return results

    def _check_file(self, path: str | Path) -> None:
        if not Path(path).is_file():
            raise UserError(f'there is no image {path}{hint_at(Path(path))}')
        step = self.steps[0]
        if type(step).__module__.partition('.')[0] in OPENMMLAB and isinstance(step, LoadImageFromFile):
            check_image_file(path, step.imdecode_backend, step.color_type)


@contextmanager
def naming(source: str | Path) -> Iterator[None]:
    """
    Raises:
        UserError: one has been raised, now with the file that it is about.
    """
    try:
        yield
    except UserError as error:
        raise UserError(f'{source}: {error}') from error


@contextmanager
def naming_refusals(picture: Picture) -> Iterator[None]:
    """
    Raises:
        UserError: a network has refused the picture: its size, the memory.
    """
    try:
        yield
    except UserError:
        raise
    except (RuntimeError, ValueError, AssertionError, IndexError, KeyError) as error:
        height, width, *channels = picture.pixels.shape
        raise UserError(f'the network cannot take a picture of {width} x {height} pixels and {(*channels, 1)[0]} '
                        f'channels: {reason_of(error).splitlines()[0]}') from error


def _takes_colours(step: Any) -> bool:
    """Whether a transform loads an image of 8-bit colours, without an orientation, as its very pixels."""
    return (type(step) is LoadImageFromFile and step.imdecode_backend in ('cv2', 'pillow')
            and step.color_type in ('color', 'color_ignore_orientation', 'unchanged'))


def _told_of(path: str | None) -> dict:
    """What mmseg's data sets tell of an image before any step."""
    return dict(img_path=path, label_map=None, reduce_zero_label=False, seg_fields=[], sample_idx=0)


def check_image_file(path: str | Path, backend: str | None = 'cv2', color_type: str = 'color') -> None:
    """Decodes an image file down to the last pixel, which mmcv's backends do not all do.

    Raises:
        UserError: the file is missing, no image, or damaged.
    """
    try:
        data = read_bytes(str(path))
        if backend == 'pillow':
            decode(data)
        elif backend != 'tifffile':  # which finds by itself what is missing
            image_size(data, color_type)
    except ImageFileError as error:
        raise UserError(f'there is no image {path}{hint_at(Path(path))}' if error.missing else
                        f'{path}: unreadable image: {error}') from error
    except Exception as error:  # decoders raise whatever they come across
        raise UserError(f'{path}: unreadable image: {reason_of(error)}') from error
