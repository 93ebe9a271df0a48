"""Converts a checkpoint of an official code base or of mmsegmentation into one of ours.

    mmseg-attn convert_checkpoint EMANet.pth emanet.pth
    mmseg-attn convert_checkpoint danet_of_mmseg.pth danet.pth --write-config danet.py

Method and source are recognised from the names of the weights. docs/checkpoints.md lists what can be converted.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmseg_attn.common.arguments import add_cfg_options
from mmseg_attn.common.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmseg_attn.checkpoints import Conversion


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint', type=Path, help='the file to convert')
    parser.add_argument('out', type=Path, help='the file to write')
    parser.add_argument('--method', help='emanet, psanet, ...; recognised from the weights if not given')
    parser.add_argument(
        '--source', help='official, openseg, mmseg, mmcv, timm; recognised from the weights if not given')
    parser.add_argument('--config', help='check that the weights fit the model of this config')
    parser.add_argument(
        '--write-config', type=Path, metavar='FILE', help='write a config under which the result is exact')
    parser.add_argument(
        '--inplace-abn', action=argparse.BooleanOptionalAction,
        help="whether the norms are InPlaceABN; as in the authors' code if not given")
    parser.add_argument(
        '--allow-pickle', action='store_true',
        help='read files that can only be read by running code they contain: from sources you trust')
    add_cfg_options(parser, 'the model, which the weights do not tell, such as model.decode_head.recurrence=3')


def main(args: argparse.Namespace) -> None:
    from mmengine.config import Config
    from rich.console import Console

    from mmseg_attn.checkpoints import convert_checkpoint
    from mmseg_attn.checkpoints.conversion_report import print_report
    from mmseg_attn.checkpoints.exact_config import exact_config
    from mmseg_attn.checkpoints.model import model_config
    from mmseg_attn.checkpoints.options import as_options
    from mmseg_attn.common.classes import known_classes
    from mmseg_attn.common.shipped import configs_folder
    console = Console(markup=False, highlight=False)
    check_arguments(args)
    cfg = read_config(args.config) if args.config else None
    with console.status(f'reading {args.checkpoint}'):
        conversion = convert_checkpoint(
            args.checkpoint, args.method, args.source, settings=args.cfg_options, inplace_abn=args.inplace_abn,
            allow_pickle=args.allow_pickle)
    if args.write_config and conversion.model is None:
        raise UserError(f'--write-config needs a whole model; {args.checkpoint} has the weights of a part')
    name, overrides, base, exact, meta = f'configs/{conversion.config}', conversion.overrides, {}, None, None
    if cfg is not None:
        name, overrides, base = args.config, conversion.check(cfg.model.to_dict(), args.config), cfg.model.to_dict()
    elif conversion.model is not None:
        base = model_config(conversion.config)
    if conversion.model is not None:
        if args.write_config:
            exact = exact_config(conversion)
        if conversion.dataset_meta is None:
            cfg = cfg or Config.fromfile(configs_folder() / conversion.config)
            meta = known_classes(cfg, conversion.model['decode_head']['num_classes'])
    print_report(conversion, console)
    write(conversion, args, exact, meta)
    size = args.out.stat().st_size / 2**20
    console.print(f'\nWrote {args.out}: {len(conversion.state_dict)} tensors, {size:.1f} MiB.')
    if conversion.model is None:
        return
    if args.write_config:
        print(f'Exact under: {args.write_config}')
    print(f'{"or under" if args.write_config else "Exact under"}: {name}')
    if overrides:
        print(f'  with: --cfg-options {as_options(overrides, base)}')


def check_arguments(args: argparse.Namespace) -> None:
    if args.out.is_dir():
        raise UserError(f'{args.out} is a folder; name the file to write')
    if args.out.exists() and args.checkpoint.exists() and args.out.samefile(args.checkpoint):
        raise UserError(f'{args.out} is the file to convert; name another one to write')
    if args.write_config and (args.write_config.suffix != '.py' or args.write_config.is_dir()):
        raise UserError(f'--write-config writes Python, got {args.write_config}')
    if args.write_config and args.write_config.resolve() == args.out.resolve():
        raise UserError(f'--write-config and the checkpoint cannot both be {args.out}')


def read_config(path: str) -> Config:
    from mmseg_attn.common.config import load_config
    cfg = load_config(path)
    if not isinstance(cfg.get('model'), dict):
        raise UserError(f'{path} has no model')
    return cfg


def write(conversion: Conversion, args: argparse.Namespace, exact: Config | None, meta: dict | None) -> None:
    from mmseg_attn.common.files import atomic_write
    conversion.save(args.out, meta)
    if args.write_config:
        with atomic_write(args.write_config) as partial:
            exact.dump(str(partial))
