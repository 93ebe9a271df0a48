"""The configs of a comparison: each with the one recipe laid over it, and equal in all but the head."""

from pathlib import Path

from mmengine.config import Config

from mmseg_attn.common.config import load_config
from mmseg_attn.common.config_checks import check_config, check_training
from mmseg_attn.common.errors import UserError
from mmseg_attn.datasets.listing import check_listings
from mmseg_attn.engine.amp import train_with_amp

COMPARED_KEYS = ('model', 'train_dataloader', 'val_dataloader', 'val_evaluator', 'optim_wrapper', 'train_cfg',
                 'param_scheduler', 'custom_hooks', 'load_from')
# What belongs to a head: its losses, what it needs of the backbone, an upsampler or neck before it, and blocks of
# attention inside the backbone.
HEAD_KEYS = ('model.decode_head', 'model.auxiliary_head', 'model.neck', 'model.backbone.out_indices',
             'model.backbone.plugins', 'model.backbone.after_blocks')
# Without blocks these are mmseg's backbones of the same name.
TAKE_BLOCKS = 'mmseg_attn.ResNet', 'mmseg_attn.ResNetV1c', 'mmseg_attn.ResNetV1d'
IRRELEVANT_KEYS = ('train_cfg.val_interval', )
SCHEDULE_KEYS = ('train_cfg', 'param_scheduler')


def prepare(path: Path, recipe: Path | None, options: dict | None, iters: int | None, amp: bool = False
            ) -> Config:
    """A config ready to be trained, but for the seed: with the recipe, the options, the number of iterations and AMP.

    The last checkpoint counts, so only the last is kept, and mmseg's IoUMetric becomes ours, which logs the classes.

    Raises:
        UserError: a file is missing, an option does not fit, the data are not there, the training is not counted in
            iterations, or AMP does not work here.
    """
    cfg = load_config(str(path))
    if recipe is not None:
        laid_over = load_config(str(recipe))
        laid_over.pop('work_dir')
        _merge(cfg, laid_over.to_dict(), f'{recipe} does not fit {path}')
    _merge(cfg, options or {}, f'--cfg-options does not fit {path}')
    cfg.pop('work_dir')
    if not cfg.get('train_cfg') or not cfg.train_cfg.get('max_iters'):
        raise UserError(f'{path}: train_cfg has no max_iters; a comparison counts trainings in iterations')
    if iters is not None:
        set_iterations(cfg, iters, path)
    train_cfg = cfg.train_cfg
    train_cfg.val_interval = min(train_cfg.get('val_interval', train_cfg.max_iters), train_cfg.max_iters)
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', by_epoch=False, interval=train_cfg.val_interval, max_keep_ckpts=1)
    if cfg.val_evaluator.get('type') == 'IoUMetric':
        cfg.val_evaluator.type = 'mmseg_attn.ClassIoUMetric'
    check_config(cfg, 'train_dataloader', 'val_dataloader')
    check_listings(cfg, 'train_dataloader', 'val_dataloader')
    train_with_amp(cfg, amp)
    check_training(cfg)
    return cfg


def _merge(cfg: Config, settings: dict, problem: str) -> None:
    try:
        cfg.merge_from_dict(settings)
    except (KeyError, TypeError, AssertionError) as error:
        raise UserError(f'{problem}: {error}') from error


def set_iterations(cfg: Config, iters: int, path: Path) -> None:
    """Trains for ``iters``: what the schedule does until the end, it does until the new end; its warm-up stays."""
    old = cfg.train_cfg.max_iters
    schedulers = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
    for scheduler in schedulers:
        begin = scheduler.get('begin', 0)
        if scheduler.get('T_max') == old - begin:
            scheduler.T_max = iters - begin
        if scheduler.get('end') == old:
            scheduler.end = iters
        elif scheduler.get('end', 0) >= iters:
            begin = scheduler.end
        if begin >= iters:
            raise UserError(f'--iters must be more than the {begin} of the warm-up of {path}, got {iters}')
    cfg.train_cfg.max_iters = iters


def check_equal(configs: dict[str, Config], own_schedules: bool) -> None:
    """Checks that the configs differ in their heads, and in blocks inside the backbone, only.

    Args:
        configs: name of the head -> config.
        own_schedules: whether their schedules may differ too.

    Raises:
        UserError: they differ in something else; the first two that do are named with the setting.
    """
    (first, reference), *others = configs.items()
    for name, cfg in others:
        found = [key for part in COMPARED_KEYS
                 for key in differing_keys(_compared(reference, part), _compared(cfg, part), part)
                 if not _is_within(key, HEAD_KEYS + IRRELEVANT_KEYS)]
        schedule = [key for key in found if _is_within(key, SCHEDULE_KEYS)]
        rest = [key for key in found if not _is_within(key, SCHEDULE_KEYS)]
        if rest:
            raise UserError(f'{first} and {name} would not be compared fairly: they differ in {", ".join(rest[:5])}.\n'
                            '  --recipe FILE lays the settings of one file over all configs, --cfg-options single ones')
        if schedule and not own_schedules:
            raise UserError(f'{first} and {name} differ in {", ".join(schedule[:5])}.\n'
                            '  --iters N trains all for as long; --own-schedules leaves each config its own')


def _compared(cfg: Config, part: str) -> object:
    settings = cfg.get(part)
    if part == 'model' and settings.backbone.get('type') in TAKE_BLOCKS:
        backbone = dict(settings.backbone, type=settings.backbone.type.removeprefix('mmseg_attn.'))
        return dict(settings, backbone=backbone)
    return settings


def differing_keys(a: object, b: object, path: str = '') -> list[str]:
    """The settings in which two configs differ, as 'key.sub_key'; lists as a whole."""
    if not (isinstance(a, dict) and isinstance(b, dict)):
        return [] if a == b else [path]
    found = []
    for key in sorted(a.keys() | b.keys(), key=str):
        inner = f'{path}.{key}' if path else str(key)
        found += differing_keys(a[key], b[key], inner) if key in a and key in b else [inner]
    return found


def _is_within(key: str, paths: tuple[str, ...]) -> bool:
    return any(key == path or key.startswith(f'{path}.') for path in paths)
