"""Operations and parameters of the model of a config, whole and by its parts.

    python tools/get_flops.py configs/ccnet_r50_cityscapes.py
    python tools/get_flops.py configs/ccnet_r50_cityscapes.py --shape 512 1024

Of ours or of mmseg's. A multiply-add counts as one, as in mmseg's get_flops.py, which does not see fused attention. The
auxiliary heads are left out: they serve in training only.
"""

import argparse
import sys
import warnings

from mmseg_attn.engine.errors import UserError, readable_errors
from mmseg_attn.environment import require_openmmlab

with readable_errors():
    require_openmmlab()
    import torch
    from mmengine.config import Config
    from mmengine.model import revert_sync_batchnorm
    from mmseg.structures import SegDataSample
    from rich.console import Console
    from rich.table import Table
    from torch import nn

    from mmseg_attn.benchmark.flops import CONVENTION, count_flops
    from mmseg_attn.engine.arguments import SettingsAction
    from mmseg_attn.engine.config import check_config, load_config
    from mmseg_attn.registry import MODELS


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--shape', type=int, nargs='+', default=[2048, 1024], metavar='PIXELS',
                        help='height and width of the image, or the side of a square (default: 2048 1024)')
    parser.add_argument('--cfg-options', nargs='+', action=SettingsAction, metavar='KEY=VALUE',
                        help='override settings of the config')
    args = parser.parse_args()
    if len(args.shape) > 2 or min(args.shape) < 1:
        raise UserError(f'--shape takes a height and a width, or one side, got {" ".join(map(str, args.shape))}')
    return args


def build(cfg: Config) -> nn.Module:
    try:
        model = revert_sync_batchnorm(MODELS.build(cfg.model)).eval()
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise UserError(f'the model cannot be built: {error}') from error
    model.auxiliary_head = None
    return model


def padded(model: nn.Module, shape: tuple[int, int]) -> tuple[int, int]:
    """The size to which the model's preprocessor brings an image of ``shape`` in testing."""
    # mmseg's preprocessor pads in testing only what comes with its sample.
    data = dict(inputs=[torch.zeros(3, *shape, dtype=torch.uint8)],
                data_samples=[SegDataSample(metainfo=dict(img_shape=shape))])
    return tuple(model.data_preprocessor(data, training=False)['inputs'][0].shape[-2:])


def count(model: nn.Module, shape: tuple[int, int]) -> dict[str, int]:
    try:
        return count_flops(model, [(1, 3, *shape)])
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


def main() -> None:
    args = parse_args()
    warnings.filterwarnings('ignore', module=r'mm(cv|seg)\.')
    cfg = load_config(args.config, args.cfg_options)
    if 'model' not in cfg:
        raise UserError(f'{args.config} has no model')
    check_config(cfg)
    model = build(cfg)
    shape = (args.shape[0], args.shape[-1])
    size = padded(model, shape)
    flops = count(model, size)
    line = '=' * 30
    if size != shape:
        print(f'{line}\nThe preprocessor pads {shape} to {size}')
    print(f'{line}\nInput shape: {size}\nFlops: {short(flops[""] / 1e9)} G')
    print(f'Params: {short(parameters(model))} M\n{line}')
    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(table_of(model, flops))
    console.print(f'Flops: {CONVENTION}. The auxiliary heads are left out.')


if __name__ == '__main__':
    with readable_errors():
        main()
