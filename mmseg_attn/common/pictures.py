"""How a config reads an image for testing."""

from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from .errors import UserError
from .image_files import ImageFileError, hint_at, image_size, read_bytes


class PictureReader:
    """The test pipeline of a config, less the loading of labels, for one image at a time.

    Raises:
        UserError: the pipeline does not begin by reading an image file.
    """

    def __init__(self, cfg: Config):
        init_default_scope(cfg.get('default_scope', 'mmseg'))
        first, *steps = testing_steps(cfg)
        self._load = Compose([first])
        self._prepare = Compose([dict(first, type='LoadImageFromNDArray'), *steps])

    def load(self, path: str | Path) -> np.ndarray:
        """An image file -> what the pipeline loads: (H, W, 3) BGR, uint8, unless the config says otherwise.

        mmseg reads with OpenCV: turned as the EXIF orientation says, without transparency, in 8 bits.

        Raises:
            UserError: the file is no image, or is damaged. (OpenCV alone would fill what is missing with grey.)
        """
        picture_size(path)
        try:
            return self._load(dict(img_path=str(path)))['img']
        except Exception as error:  # decoders raise whatever they come across
            raise UserError(f'{path}: the test pipeline cannot load it: {error}') from error

    def prepare(self, picture: np.ndarray) -> dict:
        """A picture as :meth:`load` gives it -> ``inputs`` and ``data_samples`` of the whole pipeline."""
        return self._prepare(dict(img=picture))


def picture_size(path: str | Path) -> tuple[int, int]:
    """Height and width of an image file, which is decoded down to the last pixel.

    Raises:
        UserError: the file is missing, no image, or damaged.
    """
    try:
        (width, height), _ = image_size(read_bytes(str(path)))
    except ImageFileError as error:
        raise UserError(f'there is no image {path}{hint_at(Path(path))}' if error.missing else
                        f'{path}: unreadable image: {error}') from error
    return height, width


def testing_steps(cfg: Config) -> list[dict]:
    """The steps of testing without those that read labels, as MMSegInferencer takes them.

    Raises:
        UserError: they do not begin with LoadImageFromFile.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    steps = [step for step in dataset.get('pipeline') or cfg.get('test_pipeline') or []
             if 'Annotation' not in str(step['type'])]
    if not steps or 'LoadImageFromFile' not in str(steps[0]['type']):
        raise UserError('the pipeline of test_dataloader.dataset must begin with LoadImageFromFile, and begins with '
                        f'{steps[0]["type"] if steps else "nothing"}')
    return steps


def displayable(picture: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) of any type, BGR -> (H, W, 3) RGB, uint8; values above 255 scale it down."""
    picture = picture.reshape(*picture.shape[:2], -1)
    picture = picture[..., 2::-1] if picture.shape[2] >= 3 else picture[..., :1].repeat(3, axis=2)
    if picture.dtype != np.uint8:
        picture = (picture.clip(0) * (255 / max(picture.max(), 255))).round().astype(np.uint8)
    return np.ascontiguousarray(picture)
