"""Trains a segmentor.

    mmseg-attn train configs/non_local_r18_shapes.py                       one GPU, or the CPU
    mmseg-attn train non_local_r18_shapes                                  the same, from any folder
    bash tools/dist_train.sh configs/emanet_r101_voc.py 4                  4 GPUs, or 4 CPU processes
    bash tools/slurm_train.sh PARTITION JOB configs/emanet_r101_voc.py     a Slurm cluster
"""

from __future__ import annotations

import argparse
import shlex
from contextlib import nullcontext
from typing import TYPE_CHECKING

from mmseg_attn.common.arguments import add_amp, add_cfg_options, add_channels_last, add_launcher
from mmseg_attn.common.errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('config', help='config file, or the name of a shipped config')
    parser.add_argument('--work-dir', help='where logs and checkpoints go; ./work_dirs/<config> by default')
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='continue from the given checkpoint, or from the newest whole one in the work dir; without any, start')
    parser.add_argument(
        '--overwrite', action='store_true', help='remove the checkpoints of an earlier training from the work dir')
    add_amp(parser)
    add_channels_last(parser)
    parser.add_argument(
        '--auto-scale-lr', action='store_true',
        help="scale the learning rate with the batch size, from the config's auto_scale_lr.base_batch_size")
    add_cfg_options(parser)
    add_launcher(parser)


def main(args: argparse.Namespace) -> None:
    from mmengine.dist import get_world_size
    from mmengine.runner import Runner
    from mmseg.registry import RUNNERS

    from mmseg_attn.checkpoints.pretrained import check_what_modules_load
    from mmseg_attn.common.classes import add_palettes
    from mmseg_attn.common.config import load_config
    from mmseg_attn.common.config_checks import check_config, check_training
    from mmseg_attn.common.files import naming_full_disks
    from mmseg_attn.datasets.listing import check_listings
    from mmseg_attn.engine.amp import train_with_amp
    from mmseg_attn.engine.batch_size import describe_batch_size
    from mmseg_attn.engine.channels_last import ChannelsLastRunner
    from mmseg_attn.engine.checkpoint_hook import use_safe_checkpoints
    from mmseg_attn.engine.launch import end_launch, is_main_process, prepare_launch
    from mmseg_attn.engine.launched import is_restarted
    from mmseg_attn.engine.loading import CheckLoadedWeightsHook, name_errors_of_loading
    from mmseg_attn.engine.stopping import stoppable
    from mmseg_attn.engine.visualization_hook import show_loaded_images
    from mmseg_attn.engine.work_dir import (
        AUTO,
        BeginHook,
        checkpoint_folder,
        has_checkpoints,
        is_of_this_job,
        only_training_in,
        prepare_work_dir,
    )
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    loaders = 'train_dataloader', *(['val_dataloader'] if cfg.get('val_dataloader') else [])
    check_config(cfg, *loaders)
    check_listings(cfg, *loaders)
    _apply(cfg, args)
    amp = train_with_amp(cfg, args.amp)
    check_training(cfg)
    add_palettes(cfg)
    use_safe_checkpoints(cfg)
    show_loaded_images(cfg)
    is_main = is_main_process(args.launcher)
    with (naming_full_disks(cfg.work_dir),
          only_training_in(cfg.work_dir, checkpoint_folder(cfg)) if is_main else nullcontext()):
        # Without a checkpoint of its own, a restarted training begins as it did before, perhaps from other weights.
        goes_on = is_restarted() and is_of_this_job(cfg.work_dir) and has_checkpoints(cfg)
        given_up = prepare_work_dir(cfg, AUTO if goes_on else args.resume, args.overwrite and not goes_on, is_main)
        prepare_launch(cfg, args.launcher, args.local_rank)
        usual = ChannelsLastRunner if args.channels_last else Runner
        runner = RUNNERS.build(cfg) if 'runner_type' in cfg else usual.from_cfg(cfg)
        check_what_modules_load(runner.model)
        if cfg.get('load_from'):
            runner.register_hook(CheckLoadedWeightsHook(cfg.load_from, 'resume' if cfg.resume else 'start'))
            if cfg.resume:
                name_errors_of_loading(runner, cfg.load_from)
        begin = BeginHook(given_up)
        runner.register_hook(begin)
        runner.logger.info(describe_batch_size(cfg, get_world_size()))
        if amp:
            runner.logger.info(amp)
        with stoppable(runner, _go_on(args)):
            runner.train()
        end_launch()
    if is_main:
        done = 'Trained' if runner.iter > begin.first_iteration else 'Nothing was left to train'
        print(f'\n{done}: logs and checkpoints are in {cfg.work_dir}')


def _go_on(args: argparse.Namespace) -> str:
    if args.launcher != 'none':
        return 'the same command and --resume'
    words = [word for word in shlex.split(args.command) if word != '--overwrite']
    if args.resume and args.resume != 'auto':
        at = next(i for i, word in enumerate(words) if word.startswith('--resume'))
        del words[at:at + (1 if '=' in words[at] else 2)]
    return shlex.join(words if args.resume == 'auto' else [*words, '--resume'])


def _apply(cfg: Config, args: argparse.Namespace) -> None:
    from mmseg_attn.common.files import require_file
    from mmseg_attn.engine.batch_size import count_accumulation
    if args.channels_last and 'runner_type' in cfg:
        raise UserError(f'--channels-last works with the Runner of mmengine, and runner_type is {cfg.runner_type!r}')
    if args.auto_scale_lr:
        if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
            raise UserError(f'--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in {args.config}')
        cfg.auto_scale_lr.enable = True
    count_accumulation(cfg)
    if cfg.get('load_from') and '://' not in cfg.load_from:
        require_file(cfg.load_from, 'checkpoint')
