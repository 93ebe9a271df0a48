"""The learned attention over scales: what makes one prediction of those at several sizes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseg_attn.ops.pixel_attention import float_or_better
from mmseg_attn.ops.scale_fusion import (
    hierarchical_fusion,
    hierarchical_weights,
    resize,
    scaled_size,
    softmax_fusion,
    softmax_weights,
)

# The last layer starts near zero, as mmseg's classifiers do: then all scales count about the same.
SMALL = dict(type='Normal', std=0.01, override=dict(name='out_conv'))


class Prediction(NamedTuple):
    """What the network says at one scale.

    Attributes:
        scale: the factor of the sides of the image.
        logits: (B, classes, H, W), of a size that is the fusion's.
        evidence: (B, ., h, w), by what the fusion weighs the logits.
    """

    scale: float
    logits: Tensor
    evidence: Tensor


class HierarchicalFusion(BaseModule):
    """Each scale weighs itself against all those above it (Tao et al. 2020, https://arxiv.org/abs/2005.10821).

        conv3x3 -> norm -> ReLU -> conv3x3 -> norm -> ReLU -> conv1x1 -> sigmoid

    gives the attention of a scale from its own features, so any set of scales can be fused.

    Args:
        in_channels: channels of the features.
        channels: of the 3 x 3 convolutions.
        norm_cfg: of their norms.
        align_corners: of all resizing.
    """

    def __init__(self, in_channels: int, channels: int = 256, *, norm_cfg: dict | None, align_corners: bool = False):
        super().__init__(init_cfg=SMALL)
        self.align_corners = align_corners
        self.convs = nn.Sequential(
            ConvModule(in_channels, channels, 3, padding=1, norm_cfg=norm_cfg),
            ConvModule(channels, channels, 3, padding=1, norm_cfg=norm_cfg))
        self.out_conv = nn.Conv2d(channels, 1, 1, bias=False)

    def attention(self, features: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, 1, h, w) from 0 to 1, float32 or better."""
        return float_or_better(self.out_conv(self.convs(features))).sigmoid()

    def prediction(self, scale: float, features: Tensor, logits: Tensor, size: Sequence[int], is_highest: bool
                   ) -> Prediction:
        """
        Args:
            scale: the factor of the sides.
            features: what the classifier saw, (B, in_channels, h, w).
            logits: what it said, (B, classes, h', w').
            size: of the image at scale 1.
            is_highest: no scale is above this one. It has no attention, and the size alone of its evidence counts.
        """
        size = scaled_size(size, scale)
        logits = resize(float_or_better(logits), size, self.align_corners)
        if not is_highest:
            return Prediction(scale, logits, resize(self.attention(features), size, self.align_corners))
        if self.training:
            # In testing this scale may have others above it: the running statistics of the norms must know it too.
            with torch.no_grad():
                self.attention(features)
        return Prediction(scale, logits, logits[:, :1])

    def forward(self, predictions: Iterable[Prediction]) -> Tensor:
        """Predictions from the highest scale down -> logits (B, classes, H, W) of the size of the image."""
        return hierarchical_fusion(predictions, self.align_corners)

    def weights(self, predictions: Iterable[Prediction]) -> Tensor:
        """Predictions from the highest scale down -> how much each counts, (B, S, H, W) of the size of the image."""
        return hierarchical_weights([(scale, attention) for scale, _, attention in predictions], self.align_corners)


class SoftmaxFusion(BaseModule):
    """The scales compete in a softmax (Chen et al., CVPR 2016, https://arxiv.org/abs/1511.03339).

        concatenation of the features of all scales -> conv3x3 -> ReLU -> conv1x1 -> softmax over the scales

    Args:
        in_channels: channels of the features of one scale.
        channels: of the 3 x 3 convolution.
        num_scales: how many scales there are.
        align_corners: of all resizing.
    """

    def __init__(self, in_channels: int, channels: int = 512, *, num_scales: int, align_corners: bool = False):
        super().__init__(init_cfg=SMALL)
        self.align_corners = align_corners
        self.conv = ConvModule(num_scales * in_channels, channels, 3, padding=1)
        self.out_conv = nn.Conv2d(channels, num_scales, 1)

    def prediction(self, scale: float, features: Tensor, logits: Tensor, size: Sequence[int], is_highest: bool
                   ) -> Prediction:
        return Prediction(scale, logits, features)

    def forward(self, predictions: Iterable[Prediction]) -> Tensor:
        """Predictions from the highest scale down -> logits (B, classes, h, w) of the size of those at scale 1."""
        predictions = list(predictions)
        size = _at_one(predictions).logits.shape[2:]
        return softmax_fusion([p.logits for p in predictions], self._scores(predictions), size, self.align_corners)

    def weights(self, predictions: Iterable[Prediction]) -> Tensor:
        """Predictions from the highest scale down -> how much each counts, (B, S, h, w) of the size of the logits."""
        predictions = list(predictions)
        size = _at_one(predictions).logits.shape[2:]
        return softmax_weights(self._scores(predictions), size, self.align_corners)

    def _scores(self, predictions: list[Prediction]) -> Tensor:
        size = _at_one(predictions).evidence.shape[2:]
        features = torch.cat([resize(p.evidence, size, self.align_corners) for p in predictions], dim=1)
        return self.out_conv(self.conv(features))


def _at_one(predictions: list[Prediction]) -> Prediction:
    return next(prediction for prediction in predictions if prediction.scale == 1)
