"""What is exported: a segmentor in its testing form, as a function of tensors."""

import torch.nn.functional as F
from mmseg.models import BaseSegmentor
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmseg_attn.common.errors import UserError

from .preparation import Preparation


class Network(nn.Module):
    """Images (B, C, H, W) -> logits (B, out_channels, H, W), or labels (B, H, W) of int64.

    Args:
        model: a segmentor of backbone, decode head and perhaps neck, in evaluation mode.
        preparation: takes pictures, RGB where they have three channels, to what the model takes; None where that is
            done.
        argmax: labels instead of logits.

    Raises:
        UserError: the model is of another kind.
    """

    def __init__(self, model: BaseSegmentor, preparation: Preparation | None = None, argmax: bool = False):
        super().__init__()
        head = getattr(model, 'decode_head', None)
        if not isinstance(head, BaseDecodeHead):
            raise UserError(f'only a model with one decode head is exported, got {type(model).__name__} with '
                            f'{type(head).__name__}')
        self.model = model
        self.preparation = preparation
        self.argmax = argmax

    def forward(self, image: Tensor) -> Tensor:
        head = self.model.decode_head
        logits = self.model(image if self.preparation is None else self.preparation(image))
        if not isinstance(logits, Tensor):
            raise UserError(f'{type(head).__name__} gives {type(logits).__name__} in evaluation, not logits')
        # By PyTorch itself: mmseg's resize asks for the numbers of pixels, and would fix them.
        logits = F.interpolate(logits, image.shape[2:], mode='bilinear', align_corners=head.align_corners)
        return labels_of(logits, head) if self.argmax else logits


def labels_of(logits: Tensor, head: BaseDecodeHead) -> Tensor:
    """(B, out_channels, H, W) -> (B, H, W), int64; of one channel by the head's threshold."""
    if logits.shape[1] == 1:
        return (logits.sigmoid() > head.threshold)[:, 0].long()
    return logits.argmax(dim=1)
