"""Predicts an image, a video, or all of them in a folder and below.

    mmseg-attn infer configs/emanet_r18_camvid.py CHECKPOINT street.jpg --out results
    mmseg-attn infer CONFIG CHECKPOINT photos/ --out results --probabilities
    mmseg-attn infer CONFIG CHECKPOINT drive.mp4 --out results --frame-masks

Writes masks/<name>.png (the value of a pixel is the number of its class), overlays/<name>.png or .mp4, and if asked for
probabilities/<name>.npz. Exit code: 0 all is done, 1 some files of a folder could not be, 2 the command, the config or
the only file is wrong. docs/inference.md tells more.
"""

import argparse
import os.path as osp
from pathlib import Path

from mmseg_attn.common.arguments import (
    add_amp,
    add_bands,
    add_cfg_options,
    add_channels_last,
    add_device,
    add_fuse_conv_bn,
    check_bands,
    check_device,
)
from mmseg_attn.common.errors import INTERRUPTED, UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file, or the name of a shipped config')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('source', type=Path, metavar='IMAGE|FOLDER|VIDEO', help='what to predict')
    parser.add_argument('--out', required=True, type=Path, metavar='DIR', help='folder for what is written')
    parser.add_argument('--probabilities', action='store_true', help='also write those of all classes, for images')
    parser.add_argument('--frame-masks', action='store_true', help='also write the mask of every frame of a video')
    parser.add_argument('--opacity', type=float, default=0.5, help='of the colours in overlays, 0 to 1 (default: 0.5)')
    parser.add_argument('--no-legend', action='store_true', help='leave the names of the classes out of overlays')
    add_bands(parser)
    parser.add_argument('--overwrite', action='store_true', help='replace results that exist')
    add_amp(parser)
    add_channels_last(parser)
    add_fuse_conv_bn(parser)
    add_device(parser)
    add_cfg_options(parser)


def main(args: argparse.Namespace) -> int:
    import torch
    from rich.console import Console

    from mmseg_attn.checkpoints import load_model
    from mmseg_attn.common.amp import amp_dtype, describe_amp
    from mmseg_attn.common.classes import datasets_in
    from mmseg_attn.common.config import load_config
    from mmseg_attn.common.drawing import Painter
    from mmseg_attn.inference.batch import Batch, plan
    from mmseg_attn.inference.prediction import Predictor
    from mmseg_attn.models.fusing import fuse_conv_bn
    if not 0 <= args.opacity <= 1:
        raise UserError(f'--opacity must be from 0 to 1, got {args.opacity:g}')
    device, bands = check_device(args.device), check_bands(args.bands)
    console = Console(highlight=False, markup=False, soft_wrap=True)
    cfg = load_config(args.config, args.cfg_options)
    _, dataset = datasets_in((cfg.get('test_dataloader') or {}).get('dataset') or {})[0]
    _, suffix = osp.splitext(f'x{dataset.get("img_suffix") or ""}')
    jobs = plan(args.source, args.out, probabilities=args.probabilities, frame_masks=args.frame_masks,
                overwrite=args.overwrite, console=console, suffix=suffix)
    dtype = amp_dtype(cfg, device) if args.amp else None
    if dtype:
        console.print(describe_amp(device, dtype))
    with console.status('loading'):
        model = load_model(args.config, args.checkpoint, device, args.cfg_options)
        if args.fuse_conv_bn:
            fuse_conv_bn(model, model.cfg)
        if args.channels_last:
            model.to(memory_format=torch.channels_last)
        predictor = Predictor(model, args.probabilities, dtype)
    painter = Painter(**model.dataset_meta, opacity=args.opacity, legend=not args.no_legend, bands=bands)
    batch = Batch(jobs, predictor, painter)
    try:
        batch.run(console)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        raise UserError(f'cannot write into {args.out}: {error.strerror or error}') from error
    finally:
        batch.report(args.out, console)
    return 1 if batch.failures else 0
