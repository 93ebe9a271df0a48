"""What the labels of batches hold, and what padding adds to them."""

from collections.abc import Sequence

import numpy as np
import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from mmseg_attn.common.errors import UserError


class SeenClasses:
    """Which classes labels hold. Once there are two, nothing is looked at any more.

    Args:
        num_classes: of the head.
        ignored: the label of pixels that are not trained on.
    """

    def __init__(self, num_classes: int, ignored: int | None):
        self.num_classes = num_classes
        self.ignored = -1 if ignored is None else ignored
        # The last one says whether there are pixels that are ignored.
        self.seen = torch.zeros(num_classes + 1)
        self.count = 0

    def add(self, labels: list[Tensor]) -> None:
        self.count += 1
        for label in labels:
            if self.seen[:-1].sum() < 2:
                values = label.unique()
                self.seen[values[(values >= 0) & (values < self.num_classes) & (values != self.ignored)].cpu()] = 1
                self.seen[-1] += (values == self.ignored).any().item()

    def problem(self, classes: Sequence[str]) -> str | None:
        """What is wrong with the labels of all processes together, which must all ask; ``classes`` are names."""
        all_reduce(self.seen, 'max')
        found = self.seen[:-1].nonzero().flatten().tolist()
        if len(found) > 1 or self.num_classes < 2 or not self.count:
            return None
        name = f' ({classes[found[0]]})' if found and found[0] < len(classes) else ''
        held = f'one class only, {found[0]}{name}' if found else 'no class'
        beside = f', beside {self.ignored}, which is ignored,' if self.seen[-1] else ''
        meant = f' If {self.ignored} means an object, write the number of its class instead.' if self.seen[-1] else ''
        return (f'hold {held}{beside} and the head has {self.num_classes} classes: nothing else is learnt or measured, '
                f'and an mIoU of 100 means nothing.{meant} "mmseg-attn check_data CONFIG" shows what all label maps '
                'hold')


def has_other_labels(label: np.ndarray, num_classes: int, ignored: int | None) -> bool:
    """Whether integers hold any but 0 to ``num_classes - 1`` and ``ignored``.

    It is asked of every batch while the GPU waits: two passes that make no copy of the labels.
    """
    # Without their sign, negative numbers are large ones.
    label = np.ascontiguousarray(label).view(f'u{label.itemsize}')
    others = label.size - np.count_nonzero(label < num_classes)
    if others and ignored is not None and not 0 <= ignored < num_classes:
        others -= np.count_nonzero(label == ignored % 2**(8 * label.itemsize))
    return bool(others)


def padding_problem(preprocessor: nn.Module, inputs: list[Tensor]) -> tuple[int, str] | None:
    """Which image of a batch is smaller than what a data preprocessor pads it to, and the sizes."""
    size, divisor = getattr(preprocessor, 'size', None), getattr(preprocessor, 'size_divisor', None)
    sizes = [tuple(image.shape[-2:]) for image in inputs]
    target = size or [-(-max(side) // (divisor or 1)) * (divisor or 1) for side in zip(*sizes, strict=True)]
    for i, (height, width) in enumerate(sizes):
        if height < target[0] or width < target[1]:
            return i, f'{width} x {height} pixels where it is padded to {target[1]} x {target[0]}'
    return None


def refuse_single_class(labels: list[tuple[str, Tensor]], classes: Sequence[str], ignored: int | None) -> None:
    """
    Raises:
        UserError: an evaluation would count the background under the name of the only class.
    """
    for path, label in labels if len(classes) == 1 else []:
        if ((label != 0) & (label != ignored)).any():
            raise UserError(
                f'{path} holds the value 1, and the evaluation has one class, {classes[0]}, which is 0: its mIoU would '
                'be that of the background.\n  An object and its background are two classes: '
                "metainfo=dict(classes=('background', 'object')), and num_classes=2, out_channels=1, threshold=0.5 and "
                'use_sigmoid=True in the heads')
