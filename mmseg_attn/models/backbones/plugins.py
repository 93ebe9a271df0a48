"""Every block of ``mmseg_attn.attention`` as a plugin of a backbone: ``dict(type='mmseg_attn.NonLocal')``."""

from typing import Any

from mmcv.cnn import build_activation_layer, build_norm_layer
from torch import Tensor, nn

from mmseg_attn import attention
from mmseg_attn.registry import MODELS

# Their last operation needs its output in the backward pass, and a residual block adds to it in place.
NEED_THEIR_OUTPUT = ('AdaptiveContext', 'ASPObjectContext', 'BaseObjectContext', 'BeyondGrids',
                     'ExpectationMaximizationAttention', 'InterlacedSparseSelfAttention', 'PyramidObjectContext')


class Plugin(nn.Module):
    """What makes a block an mmcv plugin: the base, beside the block, of all that this file registers.

    Args:
        in_channels: channels of input and output; mmcv and mmseg give it.
        norm_cfg: of the block's norms, for example ``dict(type='SyncBN')``; None for none. The block's own if not
            given: mmcv does not hand down that of the backbone.
        act_cfg: of the block's activations, likewise.
        kwargs: other arguments of the block.
    """

    needs_output = False

    def __init__(self, in_channels: int, **kwargs: Any):
        self._arguments = dict(kwargs, in_channels=in_channels)
        for name, build in ('norm', _norm_layer), ('act', _act_layer):
            if f'{name}_cfg' in kwargs:
                cfg = kwargs.pop(f'{name}_cfg')
                kwargs[f'{name}_layer'] = build(cfg) if cfg else None
        super().__init__(in_channels, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out.clone() if self.needs_output and out.requires_grad else out

    def init_weights(self) -> None:
        """Gives the parameters the initial values of the block once more: a backbone without a checkpoint sets those of
        all its convolutions and norms, and so takes from a residual block its start as the identity."""
        self.load_state_dict(type(self)(**self._arguments).state_dict())


def _norm_layer(cfg: dict) -> Any:
    return lambda channels: build_norm_layer(cfg, channels)[1]


def _act_layer(cfg: dict) -> Any:
    return lambda: build_activation_layer(cfg)


def _as_plugin(block: type[nn.Module]) -> type[nn.Module]:
    return type(block.__name__, (Plugin, block), dict(
        __module__=__name__, __doc__=block.__doc__, needs_output=block.__name__ in NEED_THEIR_OUTPUT))


# They are convolutions too: window_convs.py.
CONVOLUTIONS = 'LocalRelation', 'StandAloneSelfAttention'
PLUGINS = {name: _as_plugin(getattr(attention, name)) for name in attention.__all__ if name not in CONVOLUTIONS}
for _plugin in PLUGINS.values():
    MODELS.register_module(module=_plugin)
globals().update(PLUGINS)  # where pickle looks for them
