"""DANet's head."""

from mmseg.utils import add_prefix
from torch import Tensor, nn

from mmseg_attn.attention.danet import ChannelAttention, PositionAttention
from mmseg_attn.registry import MODELS

from .base import AttentionHead


@MODELS.register_module()
class DAHead(AttentionHead):
    """Dual Attention Network for Scene Segmentation, https://arxiv.org/abs/1809.02983.

        conv3x3 -> position attention -> conv3x3 -+-> side classifier
                                                 sum -> classifier
        conv3x3 -> channel attention  -> conv3x3 -+-> side classifier

    Each classifier has a loss of the same weight; the side classifiers serve in training only. The paper has no
    auxiliary head beside them. With ``out_channels=1`` they have one output, too, where mmseg's have ``num_classes``.
    :meth:`attention_map` is that of the position attention.

    Args:
        pam_channels: width of the queries and keys of the position attention; an eighth of ``channels`` when not
            given.
        kwargs: arguments of AttentionHead and BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``,
            ``norm_cfg``, ...).
    """

    takes_conv_cfg = True  # as in mmseg, beside the attention

    def __init__(self, *args, pam_channels: int | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self.in_conv = self.conv(self.in_channels, self.channels)
        self.attention = PositionAttention(self.channels, key_channels=pam_channels)
        self.out_conv = self.conv(self.channels, self.channels)
        self.position_conv_seg = nn.Conv2d(self.channels, self.out_channels, 1)
        self.channel_in_conv = self.conv(self.in_channels, self.channels)
        self.channel_attention = ChannelAttention(self.channels)
        self.channel_out_conv = self.conv(self.channels, self.channels)
        self.channel_conv_seg = nn.Conv2d(self.channels, self.out_channels, 1)

    def forward(self, inputs: list[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """In evaluation the logits (B, out_channels, H, W) of the sum, in training :meth:`all_logits`."""
        return self.all_logits(inputs) if self.training else super().forward(inputs)

    def all_logits(self, inputs: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, each (B, out_channels, H, W), of the sum, the position attention and the channel attention."""
        position, channel = self._branches(self._transform_inputs(inputs))
        return (self.cls_seg(position + channel), self._side_cls_seg(position, self.position_conv_seg),
                self._side_cls_seg(channel, self.channel_conv_seg))

    def forward_feature(self, x: Tensor) -> Tensor:
        position, channel = self._branches(x)
        return position + channel

    def loss(self, inputs: list[Tensor], batch_data_samples: list, train_cfg: dict | None) -> dict[str, Tensor]:
        return self.loss_by_feat(self.all_logits(inputs), batch_data_samples)

    def loss_by_feat(self, seg_logits: tuple[Tensor, Tensor, Tensor], batch_data_samples: list) -> dict[str, Tensor]:
        """The losses of :meth:`all_logits` under mmseg's names, ``pam_cam.*``, ``pam.*`` and ``cam.*``."""
        losses: dict[str, Tensor] = {}
        for name, logits in zip(('pam_cam', 'pam', 'cam'), seg_logits, strict=True):
            losses |= add_prefix(super().loss_by_feat(logits, batch_data_samples), name)
        return losses

    def predict(self, inputs: list[Tensor], batch_img_metas: list[dict], test_cfg: dict | None) -> Tensor:
        return self.predict_by_feat(super().forward(inputs), batch_img_metas)

    def _branches(self, x: Tensor) -> tuple[Tensor, Tensor]:
        position = self.out_conv(self.attention(self.in_conv(x)))
        channel = self.channel_out_conv(self.channel_attention(self.channel_in_conv(x)))
        return position, channel

    def _side_cls_seg(self, feature: Tensor, conv_seg: nn.Conv2d) -> Tensor:
        feature = self.upsample_features(feature)
        if self.dropout is not None:
            feature = self.dropout(feature)
        return self.upsample_logits(conv_seg(feature))
