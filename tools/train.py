"""Trains a segmentor.

    python tools/train.py configs/non_local_r18_shapes.py                       one GPU, or the CPU
    bash tools/dist_train.sh configs/emanet_r101_voc.py 4                       4 GPUs, or 4 CPU processes
    bash tools/slurm_train.sh PARTITION JOB configs/emanet_r101_voc.py          a Slurm cluster
"""

import argparse
import os.path as osp

from mmseg_attn.engine.errors import UserError, readable_errors
from mmseg_attn.environment import require_openmmlab

with readable_errors():
    require_openmmlab()
    from mmengine.config import Config
    from mmengine.dist import get_world_size, is_main_process
    from mmengine.runner import Runner
    from mmseg.registry import RUNNERS

    from mmseg_attn.engine.arguments import add_common_arguments, parse
    from mmseg_attn.engine.batch_size import count_accumulation, describe_batch_size
    from mmseg_attn.engine.config import check_config, load_config
    from mmseg_attn.engine.launch import end_launch, prepare_launch
    from mmseg_attn.engine.safe_globals import allow_mmengine_checkpoints


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='where logs and checkpoints go; ./work_dirs/<config> by default')
    parser.add_argument(
        '--resume', nargs='?', const='auto', metavar='CHECKPOINT',
        help='continue from the given checkpoint, or from the latest one in the work dir')
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision; needs a GPU')
    parser.add_argument(
        '--auto-scale-lr', action='store_true',
        help="scale the learning rate with the batch size, from the config's auto_scale_lr.base_batch_size")
    add_common_arguments(parser)
    return parse(parser)


def apply_arguments(cfg: Config, args: argparse.Namespace) -> None:
    if args.amp:
        enable_amp(cfg)
    if args.auto_scale_lr:
        if not (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
            raise UserError(f'--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in {args.config}')
        cfg.auto_scale_lr.enable = True
    count_accumulation(cfg)
    if args.resume:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if cfg.get('load_from') and '://' not in cfg.load_from and not osp.isfile(cfg.load_from):
        raise UserError(f'there is no checkpoint {cfg.load_from}')


def enable_amp(cfg: Config) -> None:
    import torch
    if not torch.cuda.is_available():
        raise UserError('--amp needs a GPU, and PyTorch sees none')
    if cfg.optim_wrapper.type not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise UserError(f'--amp replaces an OptimWrapper; optim_wrapper.type is {cfg.optim_wrapper.type!r}')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options, args.work_dir)
    apply_arguments(cfg, args)
    check_config(cfg, 'train_dataloader', *(['val_dataloader'] if cfg.get('val_dataloader') else []))
    allow_mmengine_checkpoints()
    prepare_launch(cfg, args.launcher)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    runner.logger.info(describe_batch_size(cfg, get_world_size()))
    runner.train()
    if is_main_process():
        print(f'\nTrained: logs and checkpoints are in {cfg.work_dir}')
    end_launch()


if __name__ == '__main__':
    with readable_errors():
        main()
