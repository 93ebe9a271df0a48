"""From the pixels of a picture to what a network takes."""

from dataclasses import dataclass

import torch
from mmengine.config import Config
from torch import Tensor

from mmseg_attn.common.config import input_channels


@dataclass(frozen=True)
class Preparation:
    """``(pixel - mean) / std`` of each channel.

    ``colours`` is the order of three channels, 'RGB' or 'BGR'; of another number it is 'as loaded'.
    """

    colours: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channels: int = 3

    def __call__(self, pictures: Tensor) -> Tensor:
        """Pictures (B, channels, H, W), RGB where they have three channels -> what the network takes, float32."""
        pictures = pictures.flip(1) if self.colours == 'BGR' else pictures
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (pictures - mean) / std


def preparation_of(cfg: Config) -> Preparation:
    """What the data preprocessor of a config does to a picture, but for its padding."""
    settings = cfg.model.get('data_preprocessor') or {}
    mean, std = settings.get('mean') or (0, ), settings.get('std') or (1, )
    channels = input_channels(cfg.model)
    # Pictures are read as BGR, and either setting swaps them.
    swaps = settings.get('bgr_to_rgb') or settings.get('rgb_to_bgr')
    colours = ('RGB' if swaps else 'BGR') if channels == 3 else 'as loaded'
    return Preparation(colours, *(tuple(float(value) for value in (v if len(v) > 1 else [*v] * channels))
                                  for v in (mean, std)), channels)
