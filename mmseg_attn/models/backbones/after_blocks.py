"""Blocks behind chosen modules of a backbone, as most papers have them, where mmcv's plugins cannot stand."""

from collections.abc import Sequence
from typing import Any

from mmcv.cnn.bricks import build_plugin_layer
from mmseg.models.backbones import resnet
from torch import Tensor, nn

from mmseg_attn.common.plugin_checks import check_entries, problem_of_dcn, problem_of_plugins
from mmseg_attn.registry import MODELS


def append_block(module: nn.Module, cfg: dict, in_channels: int, where: str) -> None:
    """Applies a block to the output of a module, whose other parameters keep their names.

    Args:
        module: its output is a map (B, in_channels, H, W), or tokens (B, H W, in_channels) where it also gets (H, W).
        cfg: of the block, as for mmcv's ``build_plugin_layer``; ``postfix`` tells two blocks of one type apart.
        in_channels: of the block.
        where: the module's name, for errors.

    Raises:
        ValueError: the module has a block of this name already, or is a list of modules, which is never called.
    """
    if isinstance(module, (nn.ModuleList, nn.ModuleDict)):
        raise ValueError(f'{where} is a {type(module).__name__}, which is never called itself: name one of its parts, '
                         f'such as {where}.{next(reversed(list(module._modules)), "0")}')
    cfg = dict(cfg)
    name, block = build_plugin_layer(cfg, cfg.pop('postfix', ''), in_channels=in_channels)
    if hasattr(module, name):
        raise ValueError(f'{where} has {name} already: give the cfg of one of the two a postfix, such as postfix=2')
    module.add_module(name, block)
    apply = _Apply(name, in_channels, where)
    if isinstance(module, nn.Sequential):
        # It calls all that it holds, so the block too, which is now its last.
        block.register_forward_pre_hook(apply.check_input)
    else:
        module.register_forward_hook(apply)


class _Apply:
    """The hook. It finds the block by its name, so that a copy of the backbone applies the copy of the block."""

    def __init__(self, name: str, channels: int, where: str):
        self.name, self.channels, self.where = name, channels, where

    def __call__(self, module: nn.Module, inputs: tuple, output: Any) -> Tensor:
        block = getattr(module, self.name)
        if isinstance(output, Tensor) and output.ndim == 4:
            self._check_channels(output.shape[1])
            return block(output)
        size = next((value for value in inputs if _is_size(value)), None)
        if isinstance(output, Tensor) and output.ndim == 3 and size and output.shape[1] == size[0] * size[1]:
            self._check_channels(output.shape[2])
            maps = output.transpose(1, 2).unflatten(2, tuple(size))
            return block(maps).flatten(2).transpose(1, 2)
        raise ValueError(f'{self.name} cannot stand behind {self.where}, whose output is no map (B, C, H, W), and no '
                         'tokens (B, H W, C) of a module that is called with (H, W)')

    def check_input(self, block: nn.Module, inputs: tuple) -> None:
        """As a hook before the block."""
        self._check_channels(inputs[0].shape[1])

    def _check_channels(self, channels: int) -> None:
        if channels != self.channels:
            raise ValueError(f'{self.name} has in_channels={self.channels}, and the output of {self.where} has '
                             f'{channels} channels')


def _is_size(value: object) -> bool:
    return isinstance(value, Sequence) and len(value) == 2 and all(isinstance(side, int) for side in value)


def _is_tuple_of_int(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(type(index) is int for index in value)


class AfterBlocks:
    """The base, beside mmseg's, of the backbones with ``after_blocks``.

    Args:
        after_blocks: each ``dict(cfg=..., blocks=...)``. ``cfg`` is that of a block, as in ``plugins``, and ``blocks``
            has for each stage the residual blocks that it stands behind, counted from 0, or from -1 backwards. It acts
            after the last ReLU of the residual block. Several act in their order. For example the five non-local blocks
            of the paper: ``dict(cfg=dict(type='mmseg_attn.NonLocal'), blocks=((), (1, 3), (1, 3, 5), ()))``.
        kwargs: arguments of mmseg's ResNet.

    The backbone's own parameters keep their names, so that checkpoints of ImageNet fit.

    Raises:
        ValueError: a residual block that there is not, or in a stage that is frozen; two blocks of one name behind one;
            two ``plugins`` at one position, of which mmcv would drop the first; ``plugins`` or ``dcn`` with depth 18
            or 34, whose residual blocks take none; an entry of another form.
    """

    def __init__(self, *, after_blocks: Sequence[dict] | None = None, **kwargs: Any):
        depth, stages = kwargs.get('depth'), kwargs.get('num_stages', 4)
        if problem := problem_of_plugins(kwargs.get('plugins'), stages, depth):
            raise ValueError(f'plugins: {problem}')
        if problem := problem_of_dcn(kwargs.get('dcn'), depth, kwargs.get('stage_with_dcn'), stages):
            raise ValueError(f'dcn: {problem}')
        after_blocks = () if after_blocks is None else after_blocks
        check_entries(after_blocks, 'after_blocks', 'blocks')
        super().__init__(**kwargs)
        for i, entry in enumerate(after_blocks):
            self._append(entry, f'after_blocks[{i}]')

    def train(self: Any, mode: bool = True) -> Any:
        super().train(mode)  # type: ignore[misc]  # of nn.Module
        return self  # mmseg's returns None, so that ``backbone.eval()(x)`` would fail

    def _append(self: Any, entry: dict, where: str) -> None:
        if 'in_channels' in entry['cfg']:
            raise ValueError(f'{where}.cfg: leave in_channels out, it is that of the residual block')
        if len(entry['blocks']) != self.num_stages or not all(_is_tuple_of_int(part) for part in entry['blocks']):
            raise ValueError(f'{where}: blocks must have a tuple of integers for each of the {self.num_stages} stages, '
                             f'such as ((), (1, 3), (1, 3, 5), ()), got {entry["blocks"]!r}')
        if not any(entry['blocks']):
            raise ValueError(f'{where}: blocks={entry["blocks"]!r} names no residual block, so that the block would '
                             'stand nowhere')
        for stage, indices in enumerate(entry['blocks']):
            layer = getattr(self, self.res_layers[stage])
            channels = self.base_channels * 2**stage * self.block.expansion
            if indices and stage < self.frozen_stages:
                raise ValueError(f'{where} names blocks of stage {stage}, which frozen_stages={self.frozen_stages} '
                                 'keeps from being trained')
            for index in indices:
                if not -len(layer) <= index < len(layer):
                    raise ValueError(f'{where} names block {index} of stage {stage}, which has {len(layer)} blocks')
                position = index % len(layer)
                append_block(layer[position], entry['cfg'], channels, f'{self.res_layers[stage]}.{position}')


@MODELS.register_module()
class ResNet(AfterBlocks, resnet.ResNet):
    __doc__ = f'mmseg\'s ResNet.\n\n{AfterBlocks.__doc__}'


@MODELS.register_module()
class ResNetV1c(AfterBlocks, resnet.ResNetV1c):
    __doc__ = f'mmseg\'s ResNetV1c.\n\n{AfterBlocks.__doc__}'


@MODELS.register_module()
class ResNetV1d(AfterBlocks, resnet.ResNetV1d):
    __doc__ = f'mmseg\'s ResNetV1d.\n\n{AfterBlocks.__doc__}'
