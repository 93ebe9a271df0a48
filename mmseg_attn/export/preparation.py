"""From the pixels of a picture to what a network takes."""

from dataclasses import dataclass

import torch
from mmengine.config import Config
from torch import Tensor

from mmseg_attn.common.errors import UserError


@dataclass(frozen=True)
class Preparation:
    """``(pixel - mean) / std``, pixels from 0 to 255 in the order of ``colours``, 'RGB' or 'BGR'."""

    colours: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pictures: Tensor) -> Tensor:
        """RGB pictures (B, 3, H, W) -> what the network takes, float32."""
        pictures = pictures if self.colours == 'RGB' else pictures.flip(1)
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (pictures - mean) / std


def preparation_of(cfg: Config) -> Preparation:
    """What the data preprocessor of a config does to a picture, but for its padding.

    Raises:
        UserError: the pictures have other than three channels.
    """
    settings = cfg.model.get('data_preprocessor') or {}
    mean, std = settings.get('mean') or (0, 0, 0), settings.get('std') or (1, 1, 1)
    channels = cfg.model.backbone.get('in_channels', 3)
    if {len(mean), len(std), channels} != {3}:
        raise UserError(f'only networks for three colours are exported; this one has {channels} channels, '
                        f'mean={list(mean)} and std={list(std)}')
    # Pictures are read as BGR, and either setting swaps them.
    swaps = settings.get('bgr_to_rgb') or settings.get('rgb_to_bgr')
    return Preparation('RGB' if swaps else 'BGR', *(tuple(float(value) for value in v) for v in (mean, std)))
