"""Semantic Grad-CAM: which features speak for a class in a region, by the library pytorch-grad-cam."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .place import Place
from .view import View, Window, scores

Region = tuple[int, int, int, int]


@dataclass
class ClassMap:
    """What drives a class.

    Attributes:
        label: the class.
        region: (left, top, right, bottom) in pixels of the picture, the last two exclusive; None for all pixels
            that are predicted to be of the class.
        values: (rows, columns) from 0 to 1, relative to the largest; None where no pixel is of the class.
        place: where they lie in the picture.
    """

    label: int
    region: Region | None
    values: Tensor | None
    place: Place | None


def require_grad_cam() -> tuple[type, type]:
    """pytorch-grad-cam's GradCAM and SemanticSegmentationTarget.

    Raises:
        ImportError: it is not installed, or torchvision, which it needs, does not fit torch.
    """
    try:
        from pytorch_grad_cam import GradCAM
        from pytorch_grad_cam.utils.model_targets import SemanticSegmentationTarget
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            f'Grad-CAM needs pytorch-grad-cam and a torchvision that fits torch {torch.__version__} ({error}).\n'
            '  pip install grad-cam torchvision, from where torch came from') from error
    return GradCAM, SemanticSegmentationTarget


def grad_cam(view: View, label: int, region: Region | None = None) -> ClassMap:
    """Grad-CAM of a class at the head's input.

    The score of the class is summed over the region; the features that the head takes from the backbone (the last of
    several maps) are summed over their channels, each weighted by the mean of that score's gradient, and what is
    negative is dropped. Where the config slides, this happens in the window that is nearest to the region, or that
    has most pixels of the class.

    Args:
        view: from :func:`look`.
        label: the class.
        region: (left, top, right, bottom) in pixels of the picture, the last two exclusive; None for all pixels
            that are predicted to be of the class.

    Raises:
        ValueError: an unknown class, or a region that is empty or not in the picture.
        ImportError: pytorch-grad-cam is missing.
    """
    check_region(region, view.picture.shape[:2])
    if not 0 <= label < len(view.classes):
        raise ValueError(f'there is no class {label}: the model has {len(view.classes)}')
    grad_cam_type, target_type = require_grad_cam()
    window, mask = _where(view, label, region)
    if not mask.any():
        return ClassMap(label, region, None, None)
    index = getattr(view.head, 'in_index', -1)
    network = _FromFeatures(view, window, index[-1] if isinstance(index, list | tuple) else index)
    feature = window.features[network.stage].detach().requires_grad_()
    # A binary head has one score, which is that of class 1 and speaks against class 0.
    mask, label_of_score = (-mask, 0) if view.head.out_channels == 1 and label == 0 else (mask, label)
    target = target_type(min(label_of_score, view.head.out_channels - 1), mask)
    with grad_cam_type(model=network, target_layers=[network.layer]) as explain:
        values = torch.from_numpy(explain(input_tensor=feature, targets=[target])[0])
    return ClassMap(label, region, values, window.place(*values.shape))


def check_region(region: Region | None, size: tuple[int, int]) -> None:
    """Raises ValueError for a region that has no pixels, or does not lie in a picture of this height and width."""
    if region is None:
        return
    left, top, right, bottom = region
    if not (0 <= left < right <= size[1] and 0 <= top < bottom <= size[0]):
        raise ValueError(f'the region {left},{top},{right},{bottom} (left, top, right, bottom) is empty or not within '
                         f'the picture of {size[1]} x {size[0]} pixels')


class _FromFeatures(nn.Module):
    """The scores as a network whose input, and whose layer to explain, are the features of one stage."""

    def __init__(self, view: View, window: Window, stage: int):
        super().__init__()
        self.model, self.layer = view.model, nn.Identity()
        self.view, self.window, self.stage = view, window, stage

    def forward(self, feature: Tensor) -> Tensor:
        features = list(self.window.features)
        features[self.stage] = self.layer(feature)
        return scores(self.view, self.window, features)[None]


def _where(view: View, label: int, region: Region | None) -> tuple[Window, np.ndarray]:
    """The window to explain, and 1 at those of its pixels whose score counts."""
    if region is not None:
        left, top, right, bottom = region
        window = view.window_of((left + right - 1) / 2, (top + bottom - 1) / 2)
        return window, _mask(view, window, label, region)
    masks = [_mask(view, window, label, None) for window in view.windows]
    most = max(range(len(masks)), key=lambda i: masks[i].sum())
    return view.windows[most], masks[most]


def _mask(view: View, window: Window, label: int, region: Region | None) -> np.ndarray:
    chosen = view.labels == label
    if region is not None:
        left, top, right, bottom = region
        chosen = torch.zeros_like(chosen)
        chosen[top:bottom, left:right] = True
    place = window.place(*window.inputs.shape[2:])
    y, x = (axis.centres().round().long() for axis in (place.y, place.x))
    height, width = chosen.shape
    inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))
    return (chosen[y.clamp(0, height - 1)[:, None], x.clamp(0, width - 1)] & inside).float().numpy()
