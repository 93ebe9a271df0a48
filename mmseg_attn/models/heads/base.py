"""What the heads share: mmseg's configuration of layers, and the way from backbone features to logits."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule, build_activation_layer, build_norm_layer, build_upsample_layer
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from mmseg_attn.ops.pixel_attention import float_or_better

# The activation of InPlaceABN, in which many official codes put their norms.
LEAKY_RELU = dict(type='LeakyReLU', negative_slope=0.01)
PLAIN_CONVS = (None, dict(type='Conv2d'), dict(type='Conv'))
# Channels: oneDNN brings the input of a convolution into an order of its own, a copy of all that it gets.
MAX_CONV_CHANNELS = 1024


class AttentionHead(BaseDecodeHead):
    """A decode head that applies the block ``self.attention`` to ``self.in_conv`` of the backbone's features.

    Args:
        upsample_features: an upsampler between the features and the classifier, for example
            ``dict(type='mmseg_attn.CARAFE', scale_factor=2)``; None for none.
        upsample_logits: an upsampler after the classifier; None for none.
        kwargs: arguments of mmseg's BaseDecodeHead. ``in_channels``, ``channels`` and ``num_classes`` are required.

    Raises:
        ValueError: a ``conv_cfg`` of other than plain convolutions, which would not reach those of the block; an
            ``input_transform`` that selects several maps.
    """

    concat_input = False
    # Whether the convolutions of the block are meant to stay plain.
    takes_conv_cfg = False

    def __init__(self, *args, upsample_features: dict | None = None, upsample_logits: dict | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        if self.input_transform == 'multiple_select':
            raise ValueError(f'{type(self).__name__} takes one map of the backbone: in_index is a number, or a list '
                             "with input_transform='resize_concat'")
        if self.conv_cfg not in PLAIN_CONVS and not self.takes_conv_cfg:
            raise ValueError(f'conv_cfg={self.conv_cfg} would not reach the convolutions of the attention, which '
                             f'{type(self).__name__} always has as plain ones: leave conv_cfg out')
        self.upsample_features = _build_upsampler(upsample_features, self.channels)
        self.upsample_logits = _build_upsampler(upsample_logits, self.out_channels)

    def forward_feature(self, x: Tensor) -> Tensor:
        """Backbone features (B, in_channels, H, W) -> features before the classifier, (B, channels, H, W).

        in_conv -> attention -> out_conv, and with ``concat_input`` cat_conv of the backbone's features and that.
        """
        out = self.out_conv(self.attention(self.in_conv(x)))
        return self.cat_conv(x, out) if self.concat_input else out

    def forward(self, inputs: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """Features of the backbone's stages -> logits (B, out_channels, H, W) at the stride of the selected stage,
        times that of the upsamplers; of several classifiers a tuple of them."""
        return self.cls_seg(self.forward_feature(self._transform_inputs(inputs)))

    def cls_seg(self, feat: Tensor) -> Tensor:
        return self.upsample_logits(super().cls_seg(self.upsample_features(feat)))

    def loss_by_feat(self, seg_logits: Any, batch_data_samples: list) -> dict[str, Tensor]:
        # Rounded to half precision once more, after they are resized, neighbours would become equal.
        return super().loss_by_feat(float_or_better(seg_logits), batch_data_samples)

    def predict_by_feat(self, seg_logits: Any, batch_img_metas: list[dict]) -> Tensor:
        return super().predict_by_feat(float_or_better(seg_logits), batch_img_metas)

    @torch.no_grad()
    def attention_map(self, inputs: list[Tensor], points: Tensor) -> Tensor:
        """Where the attention of this head looks.

        Args:
            inputs: what ``forward`` takes.
            points: (P, 2) integers, (row, column) in the feature map.

        Returns:
            (B, P, H, W) weights; the block's own ``attention_map`` says what they are.

        Raises:
            RuntimeError: the head is in training mode, where a look would change the statistics of its norms.
        """
        if self.training:
            raise RuntimeError('attention_map needs the head in evaluation mode: call .eval() on the model first')
        return self._attention_map(self._transform_inputs(inputs), points)

    def _attention_map(self, x: Tensor, points: Tensor) -> Tensor:
        """``attention_map`` for backbone features (B, in_channels, H, W)."""
        return self.attention.attention_map(self.in_conv(x), points)

    def conv(self, in_channels: int, channels: int, kernel_size: int = 3, **kwargs) -> ConvModule:
        """A convolution that keeps the size, with this head's norm and activation unless ``kwargs`` say otherwise."""
        arguments = dict(conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg, act_cfg=self.act_cfg) | kwargs
        return ConvModule(in_channels, channels, kernel_size, padding=kernel_size // 2, **arguments)

    def concat_conv(self, in_channels: int, channels: int) -> 'ConcatConv':
        """:meth:`conv` of several inputs, which together have ``in_channels``."""
        return ConcatConv(in_channels, channels, 3, padding=1, conv_cfg=self.conv_cfg, norm_cfg=self.norm_cfg,
                          act_cfg=self.act_cfg)

    @property
    def norm_layer(self) -> partial | None:
        """This head's ``norm_cfg`` in the form that blocks take."""
        return partial(_build_norm, self.norm_cfg) if self.norm_cfg else None

    @property
    def act_layer(self) -> partial | None:
        """This head's ``act_cfg`` in the form that blocks take."""
        return partial(build_activation_layer, self.act_cfg) if self.act_cfg else None


class ConcatConv(ConvModule):
    """A ConvModule of the concatenation of its inputs along the channels, made only where gradients are needed.

    The convolution of a concatenation is the sum of those of its parts. That saves a copy as large as all inputs: 320
    MiB for a backbone's features of an image of 1024 x 2048 and 512 channels beside them. In training the gradients of
    the weight's parts would have to be put together, which takes longer (5 % of NLHead on 2048 channels) and no less
    memory.
    """

    def forward(self, *inputs: Tensor) -> Tensor:
        conv = self.conv
        is_plain = type(conv) is nn.Conv2d and conv.groups == 1 and not self.with_explicit_padding
        if torch.is_grad_enabled() or not is_plain or self.with_spectral_norm:
            return super().forward(torch.cat(inputs, dim=1))
        if inputs[0].device.type == 'cpu':
            inputs = tuple(part for x in inputs for part in x.split(MAX_CONV_CHANNELS, dim=1))
        weights = conv.weight.split([x.shape[1] for x in inputs], dim=1)
        out = None
        for x, weight in zip(inputs, weights, strict=True):
            part = F.conv2d(x, weight, conv.bias if out is None else None, conv.stride, conv.padding, conv.dilation)
            out = part if out is None else out.add_(part)
        assert out is not None
        if self.with_norm:
            out = self.norm(out)
        return self.activate(out) if self.with_activation else out


def _build_norm(norm_cfg: dict, channels: int) -> nn.Module:
    return build_norm_layer(norm_cfg, channels)[1]


def _build_upsampler(cfg: dict | None, channels: int) -> nn.Module:
    if cfg is None:
        return nn.Identity()
    if cfg.get('type') in ('mmseg_attn.CARAFE', 'carafe'):
        cfg = dict(cfg, channels=channels)
    try:
        return build_upsample_layer(cfg)
    except (KeyError, TypeError) as error:
        raise ValueError(f'upsample_features and upsample_logits take an upsampler with its arguments, such as '
                         f"dict(type='mmseg_attn.CARAFE', scale_factor=2); got {dict(cfg)}: {error}") from error
