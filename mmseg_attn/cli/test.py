"""Evaluates a segmentor.

    mmseg-attn test configs/emanet_r101_voc.py work_dirs/emanet_r101_voc/best.pth [--tta] [--show-dir pictures]
    bash tools/dist_test.sh configs/emanet_r101_voc.py CHECKPOINT 4
"""

from __future__ import annotations

import argparse
import os.path as osp
from pathlib import Path
from typing import TYPE_CHECKING

from mmseg_attn.common.arguments import add_amp, add_cfg_options, add_channels_last, add_fuse_conv_bn, add_launcher
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.files import require_file

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file, or the name of a shipped config')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='where the log goes; ./work_dirs/<config> by default')
    parser.add_argument('--out', metavar='DIR', help='save the predicted label maps there, as PNG')
    parser.add_argument('--show', action='store_true', help='show each prediction in a window')
    parser.add_argument('--show-dir', metavar='DIR', help='save pictures of ground truth and prediction there')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that --show shows a picture')
    parser.add_argument('--analyse', metavar='DIR', help='write a report on the errors there: confusions, borders, '
                        'calibration, the worst images')
    parser.add_argument('--tta', action='store_true', help="test-time augmentation by the config's tta_pipeline")
    add_amp(parser)
    add_channels_last(parser)
    add_fuse_conv_bn(parser)
    add_cfg_options(parser)
    add_launcher(parser)


def main(args: argparse.Namespace) -> None:
    import torch
    from mmengine.dist import is_main_process
    from mmengine.runner import Runner

    from mmseg_attn.common.classes import add_palettes
    from mmseg_attn.common.config import load_config
    from mmseg_attn.common.config_checks import check_config
    from mmseg_attn.datasets.listing import check_listings
    from mmseg_attn.engine.amp import test_with_amp
    from mmseg_attn.engine.checkpoint_hook import check_measured
    from mmseg_attn.engine.fusing import FuseConvBNHook
    from mmseg_attn.engine.launch import end_launch, prepare_launch
    from mmseg_attn.engine.loading import CheckLoadedWeightsHook
    from mmseg_attn.engine.stopping import endable
    from mmseg_attn.engine.visualization_hook import show_loaded_images
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    check_config(cfg, 'test_dataloader')
    check_listings(cfg, 'test_dataloader')
    add_palettes(cfg)
    _apply(cfg, args)
    amp = test_with_amp(cfg) if args.amp else None
    show_loaded_images(cfg)
    prepare_launch(cfg, args.launcher, args.local_rank)
    runner = Runner.from_cfg(cfg)
    if amp:
        runner.logger.info(amp)
    runner.register_hook(CheckLoadedWeightsHook(f'{args.checkpoint} with {args.config}', 'test'))
    if args.channels_last:
        runner.model.to(memory_format=torch.channels_last)
    if args.fuse_conv_bn:
        runner.register_hook(FuseConvBNHook())
    with endable(runner):
        metrics = runner.test()
    check_measured(metrics, 'test')
    if is_main_process():
        shown = ['mIoU'] if 'mIoU' in metrics else list(metrics)
        if shown:
            print(f'\n{", ".join(f"{name} {metrics[name]:.2f}" for name in shown)} of {args.checkpoint}')
        if args.show_dir:
            print(f'Pictures (ground truth left, prediction right): {osp.join(args.show_dir, "vis_data", "vis_image")}')
        if args.out:
            print(f'Label maps: {args.out}')
        if args.analyse:
            print(f'Error analysis: {osp.join(args.analyse, "report.html")}')
    end_launch()


def _apply(cfg: Config, args: argparse.Namespace) -> None:
    from mmseg_attn.common.config import without_timm_weights
    from mmseg_attn.common.loading_steps import testing_steps
    from mmseg_attn.datasets.listing import check_names_of_results
    if '://' not in args.checkpoint:
        require_file(args.checkpoint, 'checkpoint')
    cfg.load_from = args.checkpoint
    without_timm_weights(cfg.model)
    if args.show or args.show_dir:
        if 'visualization' not in (cfg.get('default_hooks') or {}) or not cfg.get('visualizer'):
            raise UserError("--show and --show-dir need default_hooks.visualization=dict(type='SegVisualizationHook') "
                            'and a visualizer')
        # The interval matters to the original mmsegmentation, which would draw every 50th image only.
        cfg.default_hooks.visualization.update(draw=True, interval=1, show=args.show, wait_time=args.wait_time)
        if args.show_dir:
            cfg.visualizer.save_dir = args.show_dir
    if args.fuse_conv_bn and any('EMAHook' in str(hook.get('type')) for hook in cfg.get('custom_hooks') or []):
        raise UserError('--fuse-conv-bn does not go with EMAHook, which exchanges weights during the test')
    if not args.tta:
        testing_steps(cfg)
    if args.out:
        check_names_of_results(cfg)
    if args.tta:
        if not cfg.get('tta_pipeline') or not cfg.get('tta_model'):
            raise UserError(f'--tta needs tta_pipeline and tta_model in {args.config}')
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
        cfg.model = dict(**cfg.tta_model, module=cfg.model)
    if args.out:
        cfg.test_evaluator.update(output_dir=args.out, keep_results=True)
    if args.analyse:
        _analyse(cfg, args)


def _analyse(cfg: Config, args: argparse.Namespace) -> None:
    import mmseg_attn.analysis  # noqa: F401  # registers the metric
    from mmseg_attn.common.files import require_writable
    require_writable(Path(args.analyse))
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    ignore_index = evaluators[0].get('ignore_index', 255)
    cfg.test_evaluator = [*evaluators, dict(type='mmseg_attn.AnalysisMetric', out_dir=args.analyse,
                                            ignore_index=ignore_index, are_probabilities=args.tta)]
