"""Blocks inside a backbone of any kind, by the names of its modules."""

from collections.abc import Sequence

from torch import nn

from mmseg_attn.common.plugin_checks import check_entries
from mmseg_attn.ops.checks import check_positive
from mmseg_attn.registry import MODELS

from .after_blocks import append_block


@MODELS.register_module()
def BackboneWithBlocks(backbone: dict, after_modules: Sequence[dict], pretrained: str | None = None  # noqa: N802
                       ) -> nn.Module:
    """A backbone with blocks behind modules of it: the backbone itself, whose own parameters keep their names.

        backbone=dict(
            type='mmseg_attn.BackboneWithBlocks',
            backbone=dict(type='SwinTransformer', ...),
            after_modules=[dict(cfg=dict(type='mmseg_attn.NonLocal', in_channels=384), modules=['stages.2.blocks.5'])])

    For ResNets ``mmseg_attn.ResNetV1c(after_blocks=...)`` is shorter.

    Args:
        backbone: config of the backbone.
        after_modules: each ``dict(cfg=..., modules=...)``: the config of a block with its ``in_channels``, and the
            names of the modules that it stands behind, as in ``backbone.named_modules()``. Several act in their order.
            The output of such a module is a map (B, C, H, W), or tokens (B, H W, C) where it is also called with
            (H, W), as the blocks of mmseg's Swin and MiT are.
        pretrained: checkpoint of the backbone, which mmseg's segmentors hand down.

    Raises:
        ValueError: a module that there is not, a block without ``in_channels``, or two of one name behind one module.
    """
    check_entries(after_modules, 'after_modules', 'modules')
    built = MODELS.build(dict(backbone, pretrained=pretrained) if pretrained else backbone)
    modules = dict(built.named_modules())
    for i, entry in enumerate(after_modules):
        where = f'after_modules[{i}]'
        cfg = dict(entry['cfg'])
        if 'in_channels' not in cfg:
            raise ValueError(f'{where}: cfg needs in_channels, the channels of the output of {entry["modules"]}')
        in_channels = cfg.pop('in_channels')
        check_positive(in_channels=in_channels)
        for name in entry['modules']:
            if not name or name not in modules:
                raise ValueError(f'{where} names {name!r}, which is no module of {type(built).__name__}: it has '
                                 f'{_some_names(modules, str(name))}')
            append_block(modules[name], cfg, in_channels, name)
    return built


def _some_names(modules: dict[str, nn.Module], name: str) -> str:
    """Those below the deepest module that is named rightly."""
    parent = name
    while parent and parent not in modules:
        parent = parent.rpartition('.')[0]
    children = [child for child, _ in modules[parent].named_children()]
    return ', '.join(f'{parent}.{child}'.lstrip('.') for child in children) or 'nothing below ' + parent
