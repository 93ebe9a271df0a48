"""Operations and parameters of a whole segmentor, by its parts."""

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmseg.structures import SegDataSample
from rich.table import Table
from torch import nn

from mmseg_attn.common.config import without_timm_weights
from mmseg_attn.common.errors import UserError
from mmseg_attn.registry import MODELS

from .flops import count_flops


def build_model(cfg: Config) -> nn.Module:
    without_timm_weights(cfg.model)
    try:
        model = revert_sync_batchnorm(MODELS.build(cfg.model)).eval()
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise UserError(f'the model cannot be built: {error}') from error
    model.auxiliary_head = None
    return model


def padded_size(model: nn.Module, shape: tuple[int, int], channels: int = 3) -> tuple[int, int]:
    """The size to which the model's preprocessor brings an image of ``shape`` in testing."""
    # mmseg's preprocessor pads in testing only what comes with its sample.
    data = dict(inputs=[torch.zeros(channels, *shape, dtype=torch.uint8)],
                data_samples=[SegDataSample(metainfo=dict(img_shape=shape))])
    return tuple(model.data_preprocessor(data, training=False)['inputs'][0].shape[-2:])


def flops_by_part(model: nn.Module, shape: tuple[int, int], channels: int = 3) -> dict[str, int]:
    try:
        return count_flops(model, [(1, channels, *shape)])
    except Exception as error:
        raise UserError(f'{type(model).__name__} cannot be run on an image of {shape[0]} x {shape[1]}: '
                        f'{type(error).__name__}: {error}') from error


def table_of(model: nn.Module, flops: dict[str, int]) -> Table:
    """Backbone, neck and decode head, the latter with its parts."""
    parts = [name for name, part in model.named_children() if parameters(part)]
    # mmseg calls the head's `forward` itself, which PyTorch does not count as a call of the head.
    flops = dict(decode_head=flops[''] - sum(flops.get(name, 0) for name in parts if name != 'decode_head')) | flops
    called = [f'{name}.' for name in flops]
    children = [f'decode_head.{name}' for name, _ in model.decode_head.named_children()]
    children.sort(key=lambda name: next((i for i, other in enumerate(called) if other.startswith(f'{name}.')), 0))
    table = Table('part', 'module', 'parameters', 'flops', 'share')
    for name in (*parts, *children):
        module = model.get_submodule(name)
        number = flops_of(name, module, flops)
        if name in parts or number:
            table.add_row('  ' * name.count('.') + name.split('.')[-1], type(module).__name__,
                          f'{short(parameters(module))} M', f'{short(number / 1e9)} G',
                          f'{100 * number / max(flops[""], 1):.1f} %')
    return table


def flops_of(name: str, module: nn.Module, flops: dict[str, int]) -> int:
    """Those of a submodule or, as lists of modules are not called themselves, of what is in it."""
    if name in flops:
        return flops[name]
    return sum(flops_of(f'{name}.{child}', part, flops) for child, part in module.named_children())


def parameters(module: nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def short(number: float) -> str:
    return f'{number:.2f}' if number >= 0.1 else f'{number:.1g}'
