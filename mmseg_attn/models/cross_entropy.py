"""The cross entropy of PyTorch, which the official codes use."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseg_attn.ops.pixel_attention import float_or_better
from mmseg_attn.registry import MODELS


@MODELS.register_module()
class PixelCrossEntropyLoss(nn.Module):
    """Mean cross entropy of the labelled pixels, or of those among them that a ``sampler`` of the head keeps.

    mmseg's CrossEntropyLoss divides by the number of all pixels, ignored and dropped ones included; with
    ``class_weight`` it fails on ignored pixels in mmsegmentation 1.2.2.

    Args:
        class_weight: one for each class. The mean is then weighted, so that equal ones change nothing.
        loss_weight: factor of the result.
        loss_name: name in the log; it must begin with ``loss_``.
    """

    class_weight: Tensor | None

    def __init__(self, class_weight: Sequence[float] | None = None, loss_weight: float = 1.0,
                 loss_name: str = 'loss_ce'):
        super().__init__()
        # A buffer, which moves to a GPU with the model and not in every call; not part of a checkpoint.
        weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer('class_weight', weight, persistent=False)
        self.loss_weight = loss_weight
        self.loss_name = loss_name

    def forward(self, logits: Tensor, label: Tensor, weight: Tensor | None = None, ignore_index: int = 255,
                **kwargs) -> Tensor:
        """Logits (B, classes, H, W) and labels (B, H, W) -> a scalar in float32 or better, 0 if no pixel counts.

        ``weight`` (B, H, W) is zero where a sampler has dropped the pixel. Nothing here waits for a GPU.
        """
        if weight is not None:
            label = label.masked_fill(weight == 0, ignore_index)
        # Half precision can neither sum nor count the pixels of an image.
        logits = float_or_better(logits)
        class_weight = None if self.class_weight is None else self.class_weight.to(logits.dtype)
        # Summed here: PyTorch's own sum of a map of losses is not deterministic on a GPU.
        total = F.cross_entropy(logits, label, class_weight, reduction='none', ignore_index=ignore_index).sum()
        counts = label != ignore_index
        if class_weight is not None:
            counts = class_weight[label.where(counts, 0)] * counts
        divisor = counts.sum().to(logits.dtype).clamp(min=torch.finfo(logits.dtype).tiny)
        return self.loss_weight * total / divisor
