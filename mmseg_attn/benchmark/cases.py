"""What is measured for a method: its head as the Cityscapes config builds it, or only the attention in it."""

import torch
from mmcv.cnn import ConvModule
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from mmseg_attn.checkpoints.model import model_config
from mmseg_attn.registry import MODELS

from .settings import CONFIG

FEATURE_STRIDE = 8


def head_config(method: str, in_channels: int | None = None, channels: int | None = None) -> dict:
    """The decode head of ``configs/<method>_r50_cityscapes.py``, at other widths if they are given.

    Args:
        method: the stem.
        in_channels: channels of the backbone's last stage; its other stages, where a head reads them, in proportion.
        channels: channels of the attention.
    """
    config = model_config(f'{method}{CONFIG}.py')['decode_head']
    single = isinstance(config['in_channels'], int)
    if in_channels is not None:
        config['in_channels'] = in_channels if single else [
            max(c * in_channels // config['in_channels'][-1], 1) for c in config['in_channels']]
    if channels is not None and method == 'emanet':
        # The paper's attention is twice as wide as what the classifier sees.
        config.update(ema_channels=channels, channels=max(channels // 2, 1))
    elif channels is not None:
        config['channels'] = channels
    return dict(config, in_index=0) if single else config


class Case(nn.Module):
    """A head, or the blocks of it, as a module from feature maps to one or more maps.

    Args:
        head: a decode head of ours or of mmseg.
        blocks: the attention in it, for ``level='block'``; None for the whole head. Several of them get the same
            input, as in DANet (position and channel) and APCNet (one for each pool scale).
        in_channels: channels of the input of the blocks.
    """

    def __init__(self, head: nn.Module, blocks: list[nn.Module] | None = None, in_channels: int | None = None):
        super().__init__()
        self.head = None if blocks else head
        self.blocks = nn.ModuleList(blocks) if blocks else None
        if blocks:
            self.channels, self.strides = [in_channels], [FEATURE_STRIDE]
        elif isinstance(head.in_channels, int):
            self.channels, self.strides = [head.in_channels], [FEATURE_STRIDE]
        else:
            self.channels, self.strides = list(head.in_channels), [4 * 2**i for i in range(len(head.in_channels))]

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        if self.blocks:
            return tuple(block(*features) for block in self.blocks)
        out = self.head(list(features))
        if isinstance(out, Tensor):
            return (out,)
        # The side classifiers of mmseg's DAHead, which it computes always, are no result in evaluation.
        return tuple(out) if self.training else (out[0],)

    def shapes(self, batch: int, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
        """The shapes of the inputs for ``size``, height and width at stride 8, whatever strides the inputs have."""
        return [(batch, channels, *(-(-side * FEATURE_STRIDE // stride) for side in size))
                for channels, stride in zip(self.channels, self.strides, strict=True)]

    def inputs(self, batch: int, size: tuple[int, int], device: torch.device | str = 'cpu') -> list[Tensor]:
        """Random inputs, as a backbone's after its last ReLU."""
        return [torch.randn(shape, device=device).relu_() for shape in self.shapes(batch, size)]


def build_head(config: dict) -> nn.Module:
    """A decode head on the CPU, BN in place of SyncBN, for one process."""
    init_default_scope('mmseg')
    return revert_sync_batchnorm(MODELS.build(config))


def attention_of(head: nn.Module) -> Case:
    """The blocks of one of our heads, without the convolutions around them."""
    if hasattr(head, 'top_down'):
        return Case(head, [head.top_down[0][0]], head.channels)
    blocks = list(head.attention) if isinstance(head.attention, nn.ModuleList) else [head.attention]
    if hasattr(head, 'channel_attention'):
        blocks.append(head.channel_attention)
    in_conv = getattr(head, 'in_conv', None)
    return Case(head, blocks, in_conv.out_channels if isinstance(in_conv, ConvModule) else head.in_channels)


@torch.no_grad()
def randomize(module: nn.Module) -> nn.Module:
    """Weights under which every part matters, in place of those a training starts from.

    Many blocks start as the identity, with a weight of zero, and with logits near zero, so that all pixels are looked
    at alike. That would hide errors. So would running means that are all positive: ReLUs after them give nothing but
    zeros.
    """
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            parameter.normal_(std=(2 / parameter[0].numel())**0.5)
        elif name.endswith('bias'):
            parameter.normal_(std=0.5)
        else:
            parameter.uniform_(0.5, 1.5)
    for name, buffer in module.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_(std=0.5)
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 1.5)
    return module
