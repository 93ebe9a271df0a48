"""Writes a model as a file that runs without this package.

    mmseg-attn export CONFIG CHECKPOINT --format onnx            for ONNX Runtime and its like
    mmseg-attn export CONFIG CHECKPOINT --format torch-export    for torch.export.load

The file takes images (batch, 3, height, width), prepared as in training, or RGB pictures with --normalize, and gives
logits of their size, or labels with --argmax. It is compared with PyTorch at two sizes before it gets its name.
docs/export.md tells how to run it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmseg_attn.common.arguments import add_cfg_options, add_fuse_conv_bn
from mmseg_attn.common.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from mmseg_attn.export import Export

FORMATS = 'onnx', 'torch-export'
TOLERANCE = 1e-4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file, or the name of a shipped config')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--format', choices=FORMATS, required=True, help='of the file')
    parser.add_argument('--out', type=Path, metavar='FILE',
                        help='the file; the name of the config in the current folder by default')
    parser.add_argument('--normalize', action='store_true',
                        help='take RGB pictures, float32 from 0 to 255: mean and deviation go into the file')
    parser.add_argument('--argmax', action='store_true', help='give the labels (batch, height, width), not the logits')
    parser.add_argument('--size', type=int, nargs='+', metavar='PIXELS',
                        help="height and width of the images it is traced with, or the side of a square; the config's "
                        'crop by default')
    parser.add_argument('--fixed-size', action='store_true', help='only for images of this size')
    parser.add_argument('--tolerance', type=float, default=TOLERANCE,
                        help=f'relative error of the logits that the check accepts (default: {TOLERANCE:g})')
    add_fuse_conv_bn(parser)
    add_cfg_options(parser)


def check_arguments(args: argparse.Namespace) -> None:
    """Finds what is wrong before anything is computed."""
    from mmseg_attn.common.files import require_writable
    from mmseg_attn.export.files import FORMATS, check_requirements
    check_requirements(args.format)
    suffix = FORMATS[args.format].SUFFIX
    args.out = args.out or Path(Path(args.config).stem + suffix)
    if args.out.suffix != suffix:
        raise UserError(f'--out {args.out}: a file of --format {args.format} ends in {suffix}')
    if args.out.is_dir():
        raise UserError(f'--out {args.out} is a folder')
    folder = args.out.absolute().parent
    if not folder.is_dir():
        raise UserError(f'--out {args.out}: there is no folder {folder}')
    require_writable(folder)
    if args.size and (len(args.size) > 2 or min(args.size) < 1):
        raise UserError(f'--size takes a height and a width, or one side, got {" ".join(map(str, args.size))}')
    if not args.tolerance > 0:
        raise UserError(f'--tolerance must be more than 0, got {args.tolerance:g}')


def report(done: Export, args: argparse.Namespace, console: Console) -> None:
    said = done.metadata
    console.print(f'Wrote {done.path}: {done.path.stat().st_size / 2**20:.1f} MiB')
    prepared = '' if args.normalize else f', mean {said["mean"]}, std {said["std"]}'
    console.print(f'  input: {said["colours"]}, {said["input"]}{prepared}')
    console.print(f'  output: {said["output"]} of {len(said["classes"])} classes')
    console.print('  sizes: ' + ', '.join(f'{axis} {size}' for axis, size in said['sizes'].items()))
    if done.why_fixed:
        console.print(f'  height and width had to be fixed: {done.why_fixed}', style='yellow')
    console.print('  checked against PyTorch, images x height x width:')
    for agreement in done.agreements:
        console.print(f'    {agreement}')


def main(args: argparse.Namespace) -> None:
    from rich.console import Console

    from mmseg_attn.checkpoints import load_model
    from mmseg_attn.common.config import crop_size
    from mmseg_attn.export import export
    from mmseg_attn.models.fusing import fuse_conv_bn
    check_arguments(args)
    console = Console(markup=False, highlight=False, soft_wrap=True)
    with console.status('loading') as status:
        model = load_model(args.config, args.checkpoint, options=args.cfg_options)
        size = (args.size[0], args.size[-1]) if args.size else crop_size(model.cfg)
        if args.fuse_conv_bn:
            fuse_conv_bn(model, model.cfg)
        done = export(model, args.out, args.format, size, name=Path(args.config).stem, normalize=args.normalize,
                      argmax=args.argmax, fixed_size=args.fixed_size, tolerance=args.tolerance, stage=status.update)
    report(done, args, console)
