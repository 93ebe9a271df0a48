"""Operations and parameters of the model of a config, whole and by its parts.

    mmseg-attn get_flops configs/ccnet_r50_cityscapes.py
    mmseg-attn get_flops configs/ccnet_r50_cityscapes.py --shape 512 1024

Of ours or of mmseg's. A multiply-add counts as one, as in mmseg's get_flops.py, which does not see fused attention. The
auxiliary heads are left out: they serve in training only.
"""

import argparse
import sys
import warnings

from mmseg_attn.common.arguments import add_cfg_options
from mmseg_attn.common.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file, or the name of a shipped config')
    parser.add_argument('--shape', type=int, nargs='+', default=[2048, 1024], metavar='PIXELS',
                        help='height and width of the image, or the side of a square (default: 2048 1024)')
    add_cfg_options(parser)


def main(args: argparse.Namespace) -> None:
    from rich.console import Console

    from mmseg_attn.benchmark.flops import CONVENTION
    from mmseg_attn.benchmark.parts import build_model, flops_by_part, padded_size, parameters, short, table_of
    from mmseg_attn.common.config import input_channels, load_config
    from mmseg_attn.common.config_checks import check_config
    if len(args.shape) > 2 or min(args.shape) < 1:
        raise UserError(f'--shape takes a height and a width, or one side, got {" ".join(map(str, args.shape))}')
    warnings.filterwarnings('ignore', module=r'mm(cv|seg)\.')
    cfg = load_config(args.config, args.cfg_options)
    check_config(cfg)
    model, channels = build_model(cfg), input_channels(cfg.model)
    shape = (args.shape[0], args.shape[-1])
    size = padded_size(model, shape, channels)
    flops = flops_by_part(model, size, channels)
    line = '=' * 30
    if size != shape:
        print(f'{line}\nThe preprocessor pads {shape} to {size}')
    print(f'{line}\nInput shape: {size}\nFlops: {short(flops[""] / 1e9)} G')
    print(f'Params: {short(parameters(model))} M\n{line}')
    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(table_of(model, flops))
    console.print(f'Flops: {CONVENTION}. The auxiliary heads are left out.')
