"""Whether a written file computes what the model computes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from mmseg.models import BaseSegmentor
from torch import Tensor

from mmseg_attn.common.config import input_channels
from mmseg_attn.common.errors import UserError

from .network import labels_of

# Of the pixels, how many must get the same label: of logits that are nearly equal either may be the greater.
EQUAL_LABELS = 0.999

Size = tuple[int, int, int]


@dataclass(frozen=True)
class Agreement:
    """How near a file came to the model on images of one size.

    ``error`` is the norm of the difference of the logits divided by the norm of the model's (None of labels alone),
    ``equal_labels`` the share of pixels with the same label.
    """

    size: Size
    error: float | None
    equal_labels: float

    def __str__(self) -> str:
        error = '' if self.error is None else f'relative error {self.error:.1e}, '
        return f'{" x ".join(map(str, self.size))}: {error}{100 * self.equal_labels:.3f} % of the labels equal'


def check_sizes(traced: tuple[int, int], free: list[str]) -> list[Size]:
    """Two sizes (images, height, width) other than the traced one, where that is free: one wide and odd, one tall."""
    height, width = traced
    sizes = [(1, 3 * height // 4 | 1, 5 * width // 4 | 1), (3, 5 * height // 4, 3 * width // 4)]
    return [tuple(side if name in free else fixed for name, side, fixed in
                  zip(('batch', 'height', 'width'), size, (size[0], *traced), strict=True)) for size in sizes]


def random_pictures(size: Size, channels: int = 3, seed: int = 0) -> Tensor:
    """Pictures (B, channels, H, W), 0 to 255 in float32, with structure at several scales."""
    batch, height, width = size
    generator = torch.Generator().manual_seed(seed)
    out = torch.zeros(batch, channels, height, width)
    for cell in (1, 8, 32):
        coarse = torch.rand(batch, channels, -(-height // cell), -(-width // cell), generator=generator)
        out += F.interpolate(coarse, scale_factor=cell)[..., :height, :width]
    return (85 * out).round()


def compare_with_model(run: Callable[[np.ndarray], np.ndarray], model: BaseSegmentor, size: Size, prepared: bool,
                       argmax: bool) -> Agreement:
    """Runs a file and the model on the same pictures.

    Args:
        run: what the file computes.
        model: the model, which prepares the pictures by its own preprocessor and runs uncompiled.
        size: number of pictures, height and width.
        prepared: whether the file takes prepared pictures, or such as are loaded, RGB.
        argmax: whether the file gives labels.

    Raises:
        UserError: the file's output has another shape.
    """
    images = random_pictures(size, input_channels(model.cfg.model))
    inputs = _prepare(model, images)
    with torch.no_grad():
        expected = model.encode_decode(inputs, [dict(img_shape=tuple(size[1:]))] * len(images))
    found = torch.from_numpy(run((inputs if prepared else images).numpy()))
    labels = labels_of(expected, model.decode_head)
    shape = labels.shape if argmax else expected.shape
    if found.shape != shape:
        raise UserError(f'for images of {" x ".join(map(str, size))} it gives {tuple(found.shape)} instead of '
                        f'{tuple(shape)}')
    if argmax:
        return Agreement(size, None, _fraction(found == labels))
    error = ((found - expected).norm() / expected.norm()).item()
    return Agreement(size, error, _fraction(labels_of(found, model.decode_head) == labels))


def _prepare(model: BaseSegmentor, images: Tensor) -> Tensor:
    preprocessor = model.data_preprocessor
    # Padding is not part of the network, and mmseg's needs a place to note it in.
    test_cfg, preprocessor.test_cfg = preprocessor.test_cfg, None
    try:
        pictures = images.flip(1) if images.shape[1] == 3 else images
        return preprocessor(dict(inputs=list(pictures)), training=False)['inputs']
    finally:
        preprocessor.test_cfg = test_cfg


def _fraction(equal: Tensor) -> float:
    return equal.double().mean().item()
