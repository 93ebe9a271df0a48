"""A segmentor that sees every image at several scales, and learns which one to believe at each pixel."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from mmseg.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor, nn

from mmseg_attn.common.windows import windows
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.ops.scale_fusion import resize, scaled_size
from mmseg_attn.registry import MODELS

from .encoder_decoder import EncoderDecoder
from .heads.base import AttentionHead
from .scale_attention import HierarchicalFusion, Prediction, SoftmaxFusion

FUSIONS = 'hierarchical', 'softmax'
# By fusion: the authors' width of the attention, and their weight of the losses of single scales.
CHANNELS = dict(hierarchical=256, softmax=512)
SUPERVISION = dict(hierarchical=0.05, softmax=1.0)
# What heads with several classifiers have of their own.
OWN_WAYS = 'loss', 'predict', 'loss_by_feat'


@MODELS.register_module()
class MultiScaleEncoderDecoder(EncoderDecoder):
    """An EncoderDecoder whose network sees the image at several scales; a learned attention fuses what it says.

    The attention reads what the classifier of the decode head reads, the input of ``conv_seg``. docs/multi_scale.md has
    the equations.

    Args:
        fusion: 'hierarchical', NVIDIA's attention (Tao et al. 2020), in which each scale weighs itself against those
            above it, or 'softmax' over the scales (Chen et al. 2016).
        train_scales: factors of the sides of the image in training, at least two, 1 among them.
        test_scales: those in testing; by default ``train_scales``. A softmax takes no others.
        attention_channels: width of the attention; by default the authors', 256 (hierarchical) or 512 (softmax).
        supervision: weight of the losses of the single scales beside that of the fused logits; by default the authors',
            0.05 (hierarchical) or 1 (softmax). With 0 they are not computed.
        kwargs: arguments of :class:`EncoderDecoder`. The decode head is one of this package or of mmseg with one
            classifier, ``conv_seg``. An ``auxiliary_head`` sees the backbone's features at scale 1.

    Raises:
        ValueError: a wrong value, or a decode head that is a cascade, has several classifiers or no ``conv_seg``.
    """

    def __init__(self, *args, fusion: str = 'hierarchical', train_scales: Sequence[float] = (0.5, 1.0),
                 test_scales: Sequence[float] | None = None, attention_channels: int | None = None,
                 supervision: float | None = None, **kwargs):
        if fusion not in FUSIONS:
            raise ValueError(f'fusion must be one of {FUSIONS}, got {fusion!r}')
        test_scales = train_scales if test_scales is None else test_scales
        # From the highest down, in which order they are fused.
        train_scales, test_scales = _checked(train_scales=train_scales), _checked(test_scales=test_scales)
        if fusion == 'softmax' and test_scales != train_scales:
            raise ValueError(f"test_scales={test_scales} must be train_scales={train_scales} with fusion='softmax', "
                             "whose attention reads all scales at once; fusion='hierarchical' takes any")
        check_positive(attention_channels=attention_channels)
        supervision = SUPERVISION[fusion] if supervision is None else supervision
        if not _is_number(supervision) or not 0 <= supervision < math.inf:
            raise ValueError(f'supervision must be a weight of at least 0, got {supervision!r}')
        super().__init__(*args, **kwargs)
        self.train_scales, self.test_scales, self.supervision = train_scales, test_scales, supervision
        head = self.decode_head
        channels = attention_channels or CHANNELS[fusion]
        self.scale_fusion: HierarchicalFusion | SoftmaxFusion
        if fusion == 'hierarchical':
            self.scale_fusion = HierarchicalFusion(
                head.channels, channels, norm_cfg=head.norm_cfg, align_corners=self.align_corners)
        else:
            self.scale_fusion = SoftmaxFusion(
                head.channels, channels, num_scales=len(train_scales), align_corners=self.align_corners)
        self._classifier = _Inputs(head.conv_seg)

    def _init_decode_head(self, decode_head: Any) -> None:
        if isinstance(decode_head, (list, tuple)):
            raise ValueError(f'MultiScaleEncoderDecoder takes one decode head, got a cascade of {len(decode_head)}')
        super()._init_decode_head(decode_head)
        _check_head(self.decode_head)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Images (B, C, H, W) -> fused logits (B, out_channels, H, W)."""
        return self.decode_head.predict_by_feat(self._forward(inputs), batch_img_metas)

    def _forward(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> Tensor:
        """Images (B, C, H, W) -> fused logits, of their size or, with 'softmax', of the size of the head's."""
        return self.scale_fusion(self._test_predictions(inputs))

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """``decode.*`` of the fused logits, ``scale_<s>.*`` of those at each scale, and ``aux.*`` at scale 1."""
        predictions, at_one = [], None
        # In the authors' order, which norms and bases see.
        for scale in reversed(self.train_scales):
            features = self._features(inputs, scale)
            at_one = features if scale == 1 else at_one
            predictions.append(self._prediction(features, scale, inputs.shape[2:], self.train_scales))
        fused = self.scale_fusion(reversed(predictions))
        losses = add_prefix(self.decode_head.loss_by_feat(fused, data_samples), 'decode')
        for scale, logits, _ in predictions if self.supervision else ():
            own = self.decode_head.loss_by_feat(logits, data_samples)
            # mmengine adds up what is called a loss; the rest is shown.
            own = {name: value * self.supervision if 'loss' in name else value for name, value in own.items()}
            losses |= add_prefix(own, f'scale_{scale:g}')
        if self.with_auxiliary_head:
            losses |= self._auxiliary_head_forward_train(at_one, data_samples)
        return losses

    @torch.no_grad()
    def scale_weights(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[Tensor]:
        """How much each scale counts at each pixel of the prediction.

        Where the config slides, the mean of the windows that cover a pixel, as for its logits.

        Args:
            inputs: images (B, C, H, W), as in :meth:`predict`.
            data_samples: of these images, with the sizes of the originals; without them, sizes stay.

        Returns:
            for each image (S, h, w) at its original size, in the order of ``test_scales``. They sum to one.
        """
        height, width = inputs.shape[2:]
        places = [(slice(0, height), slice(0, width))]
        if (self.test_cfg or {}).get('mode') == 'slide':
            places = windows((height, width), self.test_cfg['crop_size'], self.test_cfg['stride'])
        total = inputs.new_zeros((len(inputs), len(self.test_scales), height, width))
        count = inputs.new_zeros((height, width))
        for rows, columns in places:
            crop = inputs[:, :, rows, columns]
            weights = self.scale_fusion.weights(self._test_predictions(crop))
            total[:, :, rows, columns] += resize(weights, crop.shape[2:], self.align_corners)
            count[rows, columns] += 1
        metas = [sample.metainfo for sample in data_samples] if data_samples else [{}] * len(inputs)
        return [self._restore(weights, meta) for weights, meta in zip(total / count, metas, strict=True)]

    def _test_predictions(self, inputs: Tensor) -> Iterator[Prediction]:
        """From the highest scale down, each when it is asked for: by then a fusion may have let go of those before."""
        for scale in self.test_scales:
            yield self._prediction(self._features(inputs, scale), scale, inputs.shape[2:], self.test_scales)

    def _features(self, inputs: Tensor, scale: float) -> list[Tensor]:
        """Features of the backbone for the images at a scale."""
        if scale == 1:
            # Whoever puts another extract_feat in its place, to record or replace features, means these.
            return self.extract_feat(inputs)
        return super().extract_feat(resize(inputs, scaled_size(inputs.shape[2:], scale), self.align_corners))

    def _prediction(self, features: list[Tensor], scale: float, size: Sequence[int], scales: Sequence[float]
                    ) -> Prediction:
        logits, read = self._classifier.during(self.decode_head, features)
        if not isinstance(logits, Tensor) or len(read) != 1:
            raise ValueError(f'{type(self.decode_head).__name__} gives {type(logits).__name__} of {len(read)} calls of '
                             'conv_seg: MultiScaleEncoderDecoder takes heads whose logits come of one')
        return self.scale_fusion.prediction(scale, read[0], logits, size, scale == scales[0])


class _Inputs:
    """Knows what a module gets while a function runs. The hook stays: compilers follow none that comes and goes."""

    def __init__(self, module: nn.Module):
        self.inputs: list[Tensor] | None = None
        module.register_forward_pre_hook(self._note)

    def _note(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if self.inputs is not None:
            self.inputs.append(inputs[0])

    def during(self, function: Callable, *args: Any) -> tuple[Any, list[Tensor]]:
        self.inputs = []
        try:
            result = function(*args)
            return result, self.inputs
        finally:
            self.inputs = None


def _check_head(head: nn.Module) -> None:
    name = type(head).__name__
    if not isinstance(head, BaseDecodeHead) or isinstance(head, BaseCascadeDecodeHead):
        raise ValueError(f'MultiScaleEncoderDecoder takes decode heads of the kind of BaseDecodeHead and no part of a '
                         f'cascade, got {name}')
    if not isinstance(getattr(head, 'conv_seg', None), nn.Module):
        raise ValueError(f'{name} has no conv_seg, the classifier whose input the attention of '
                         'MultiScaleEncoderDecoder reads: take a head that has one')
    own = [way for way in OWN_WAYS if getattr(type(head), way) not in (
        getattr(BaseDecodeHead, way), getattr(AttentionHead, way))]
    if own:
        raise ValueError(f'{name} has a {own[0]} of its own, as heads with several outputs or losses have: '
                         'MultiScaleEncoderDecoder takes heads with one classifier, conv_seg, and mmseg\'s losses')


def _checked(**arguments: Sequence[float]) -> tuple[float, ...]:
    """Scales from the highest down."""
    (name, scales), = arguments.items()
    if not isinstance(scales, (list, tuple)) or len(scales) < 2:
        raise ValueError(f'{name} must be at least two scales, such as (0.5, 1.0), got {scales!r}')
    for scale in scales:
        if not _is_number(scale) or not 0 < scale < math.inf:
            raise ValueError(f'{name}={scales!r} must be factors above 0, got {scale!r}')
    if len(set(scales)) < len(scales):
        raise ValueError(f'{name}={scales!r} has a scale twice')
    if 1 not in scales:
        raise ValueError(f'{name}={scales!r} must have 1.0 among them, the scale of the result')
    return tuple(sorted(map(float, scales), reverse=True))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
