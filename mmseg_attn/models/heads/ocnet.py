"""OCNet's head."""

from torch import Tensor

from mmseg_attn.attention.ocnet import ASPObjectContext, BaseObjectContext, PyramidObjectContext
from mmseg_attn.registry import MODELS

from .base import LEAKY_RELU, AttentionHead

CONTEXTS = {'base': BaseObjectContext, 'pyramid': PyramidObjectContext, 'asp': ASPObjectContext}


@MODELS.register_module()
class OCHead(AttentionHead):
    """OCNet: Object Context Network for Scene Parsing, https://arxiv.org/abs/1809.00916.

        conv3x3 -> object context, merged with its input -> classifier

    Args:
        context: 'base' (Base-OC), 'pyramid' (Pyramid-OC; its conv3x3 has no activation) or 'asp' (ASP-OC).
        context_cfg: arguments of the block in ``mmseg_attn.attention.ocnet``, for example ``dict(sizes=(1, 2))``.
        dropout_ratio: of the channels before the classifier; 0.05, and 0.1 for 'asp', when not given.
        act_cfg: of all activations. The official code has LeakyReLU(0.01).
        kwargs: arguments of BaseDecodeHead (``in_channels``, ``channels``, ``num_classes``, ``norm_cfg``, ...).

    Raises:
        ValueError: an unknown ``context``.
    """

    def __init__(self, *args, context: str = 'base', context_cfg: dict | None = None,
                 dropout_ratio: float | None = None,
                 act_cfg: dict | None = LEAKY_RELU, **kwargs):
        if context not in CONTEXTS:
            raise ValueError(f'context must be one of {tuple(CONTEXTS)}, got {context!r}')
        if dropout_ratio is None:
            dropout_ratio = 0.1 if context == 'asp' else 0.05
        super().__init__(*args, dropout_ratio=dropout_ratio, act_cfg=act_cfg, **kwargs)
        self.in_conv = self.conv(self.in_channels, self.channels, bias=True,
                                 act_cfg=None if context == 'pyramid' else act_cfg)
        self.attention = CONTEXTS[context](
            self.channels, norm_layer=self.norm_layer, act_layer=self.act_layer, **(context_cfg or {}))

    def forward_feature(self, x: Tensor) -> Tensor:
        return self.attention(self.in_conv(x))
