"""What can be known of a config before any work: types, folders, files and numbers that do not fit."""

import difflib
import os.path as osp
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry, init_default_scope

from .config import INSTALL_BACKBONES, TIMM_BACKBONE, input_channels
from .errors import UserError
from .plugin_checks import problem_of_dcn, problem_of_plugins

PARTS = ('', 'data_preprocessor', 'backbone', 'neck', 'decode_head', 'auxiliary_head')
IOU_METRICS = 'IoUMetric', 'mmseg.IoUMetric', 'mmseg_attn.ClassIoUMetric'
# What mmseg's IoUMetric measures for each of its iou_metrics.
MEASURED = dict(mIoU=('mIoU', 'mAcc'), mDice=('mDice', 'mAcc'), mFscore=('mFscore', 'mPrecision', 'mRecall'))
HOW_TO_GET = {
    'PascalVOCDataset': 'mmseg-attn prepare_data voc prepares it (docs/data_preparation.md)',
    'CityscapesDataset': 'mmseg-attn prepare_data cityscapes prepares it (docs/data_preparation.md)',
    'ADE20KDataset': 'mmseg-attn prepare_data ade20k prepares it (docs/data_preparation.md)',
    'mmseg_attn.CamVidDataset': 'mmseg-attn prepare_data camvid prepares it (docs/data_preparation.md)',
}


def check_config(cfg: Config, *loaders: str) -> None:
    """Checks the types and numbers of the model, and the folders of the data.

    Args:
        cfg: the config.
        loaders: the data loaders that will be used, such as 'train_dataloader'.

    Raises:
        UserError: an unknown type, a missing file or folder, or a setting that does not fit.
    """
    scope = cfg.get('default_scope', 'mmseg')
    if not isinstance(scope, str):
        raise UserError(f"default_scope={scope!r}: the types of mmseg are found with default_scope='mmseg'")
    init_default_scope(scope)
    if not isinstance(cfg.get('model'), dict):
        raise UserError(f'{cfg.filename or "the config"} has no model')
    _check_types(cfg.model)
    _check_channels(cfg.model)
    _check_cascade(cfg.model)
    _check_backbone(cfg.model.get('backbone') or {})
    for name in loaders:
        if not isinstance(cfg.get(name), dict):
            raise UserError(f'{cfg.filename or "the config"} has no {name}')
        check_dataset(cfg[name].get('dataset'), where=f'{name}.dataset')


def check_training(cfg: Config) -> None:
    """Checks what only a training needs: the weights that it starts from, and those of the classes.

    Raises:
        UserError: a file of ``model.pretrained``, of an ``init_cfg`` or of a loss is missing; a loss has weights for
            another number of classes; ``save_best`` names what the evaluator does not measure.
    """
    _check_class_weights(cfg.model)
    _check_best_metric(cfg)
    _check_padding(cfg.model)
    for where, path in _pretrained_files(cfg.model, 'model'):
        if '://' not in path and not osp.isfile(path):
            raise UserError(f'there is no checkpoint {path} (from {where}).\n'
                            f'  Training from random weights: --cfg-options {where.removesuffix(".checkpoint")}=None')


def _pretrained_files(node: object, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, (list, tuple)):
        for i, inner in enumerate(node):
            yield from _pretrained_files(inner, f'{where}.{i}')
    if not isinstance(node, dict):
        return
    if node.get('type') == 'Pretrained' and isinstance(node.get('checkpoint'), str):
        yield f'{where}.checkpoint', node['checkpoint']
    if isinstance(node.get('pretrained'), str):
        yield f'{where}.pretrained', node['pretrained']
    for key, inner in node.items():
        yield from _pretrained_files(inner, f'{where}.{key}')


def heads_of(model: dict) -> list[tuple[str, dict]]:
    """The decode and auxiliary heads of a model's config, with their places in it."""
    found = []
    for part in 'decode_head', 'auxiliary_head':
        heads = model.get(part) or []
        if isinstance(heads, (list, tuple)):
            found += [(f'model.{part}.{i}', head) for i, head in enumerate(heads)]
        else:
            found.append((f'model.{part}', heads))
    return found


def _check_types(model: dict) -> None:
    from mmseg_attn.registry import MODELS
    for part in PARTS:
        parts = model if not part else model.get(part) or []
        for config in parts if isinstance(parts, (list, tuple)) else [parts]:
            where = f'model.{part}'.rstrip('.')
            if not isinstance(config, dict):
                raise UserError(f'{where} must be dict(type=..., ...), got {config!r}')
            _resolve(MODELS, config.get('type'), where)


def _resolve(registry: Registry, name: Any, where: str) -> Any:
    if not isinstance(name, (str, type)):
        raise UserError(f'{where} has no type' if name is None else f'{where}.type must be a name, got {name!r}')
    cls = registry.get(name) if isinstance(name, str) else name
    if cls is None:
        known = [f'mmseg_attn.{n}' for n in registry.module_dict] + list(registry.parent.module_dict)
        close = difflib.get_close_matches(name, known, n=2)
        hint = f'did you mean {" or ".join(close)}?' if close else 'it is in neither mmseg nor mmseg_attn'
        raise UserError(f'{where}.type={name!r} is unknown: {hint}')
    return cls


def _check_padding(model: dict) -> None:
    settings = model.get('data_preprocessor') or {}
    if 'SegDataPreProcessor' in str(settings.get('type')) and (
            (settings.get('size') is None) == (settings.get('size_divisor') is None)):
        raise UserError('model.data_preprocessor pads the images of a batch to one size: it needs size=(height, width) '
                        'of the crops, or size_divisor, and not both')


def _check_cascade(model: dict) -> None:
    from mmseg.models.decode_heads.cascade_decode_head import BaseCascadeDecodeHead

    from mmseg_attn.registry import MODELS
    heads = model.get('decode_head')
    for i, head in enumerate(heads[1:] if isinstance(heads, (list, tuple)) else [], start=1):
        cls = _resolve(MODELS, head.get('type'), f'model.decode_head.{i}')
        if isinstance(cls, type) and not issubclass(cls, BaseCascadeDecodeHead):
            raise UserError(f'model.decode_head.{i}.type={head["type"]!r} takes no prediction of the head before it, '
                            'and can only be the first of a cascade')


def _check_backbone(backbone: dict, where: str = 'model.backbone') -> None:
    from mmseg_attn.registry import MODELS
    # mmseg takes it out of the config for the first block, and all others do not see it.
    dcn = backbone.get('dcn') or {}
    if not isinstance(dcn, dict):
        raise UserError(f'{where}.dcn must be dict(type=...), got {dcn!r}')
    if 'mmseg_attn.' in str(dcn.get('type')) and dcn.get('fallback_on_stride'):
        raise UserError(f'{where}.dcn.fallback_on_stride=True would keep the convolution of one block, whatever its '
                        f'stride; {dcn["type"]} has strides of its own: leave it out')
    if str(backbone.get('type')).rpartition('.')[2] == TIMM_BACKBONE:
        _check_timm(where)
    depth = backbone.get('depth')
    if problem := problem_of_plugins(backbone.get('plugins'), backbone.get('num_stages', 4), depth):
        raise UserError(f'{where}.plugins: {problem}')
    if problem := problem_of_dcn(dcn, depth, backbone.get('stage_with_dcn'), backbone.get('num_stages', 4)):
        raise UserError(f'{where}.dcn: {problem}')
    for name in 'plugins', 'after_blocks', 'after_modules':
        entries = backbone.get(name)
        for i, entry in enumerate(entries if isinstance(entries, (list, tuple)) else ()):
            if isinstance(entry, dict) and isinstance(entry.get('cfg'), dict):
                _resolve(MODELS, entry['cfg'].get('type'), f'{where}.{name}.{i}.cfg')
    if isinstance(backbone.get('backbone'), dict):
        _resolve(MODELS, backbone['backbone'].get('type'), f'{where}.backbone')
        _check_backbone(backbone['backbone'], f'{where}.backbone')


def _check_timm(where: str) -> None:
    try:
        import timm  # noqa: F401
    except Exception as error:  # a torchvision that does not fit PyTorch raises a RuntimeError
        raise UserError(f'{where}.type={TIMM_BACKBONE!r} needs timm, whose import fails: {type(error).__name__}: '
                        f'{error}{INSTALL_BACKBONES}') from error


def _check_channels(model: dict) -> None:
    settings = model.get('data_preprocessor') or {}
    for name in 'mean', 'std':
        values = settings.get(name)
        if values is None:
            continue
        if not isinstance(values, (list, tuple)) or len(values) not in (1, input_channels(model)):
            raise UserError(f'model.data_preprocessor.{name}={values} must have a value for each of the '
                            f'{input_channels(model)} channels that the backbone takes (model.backbone.in_channels)')
        if len(values) not in (1, 3) and 'mmseg_attn' not in str(settings.get('type')):
            raise UserError(f'model.data_preprocessor.type={settings.get("type")!r} takes images of 1 or 3 channels, '
                            f'and {name} has {len(values)} values: mmseg_attn.SegDataPreProcessor takes any number')


def _check_class_weights(model: dict) -> None:
    for where, head in heads_of(model):
        losses = head.get('loss_decode') or []
        for loss in losses if isinstance(losses, (list, tuple)) else [losses]:
            weight = loss.get('class_weight') if isinstance(loss, dict) else None
            if isinstance(weight, str) and not osp.isfile(weight):
                raise UserError(f'there is no file {weight} (from {where}.loss_decode.class_weight)')
            # One output channel may stand for two classes.
            classes = head.get('num_classes')
            if isinstance(weight, (list, tuple)) and classes is not None and len(weight) != classes:
                raise UserError(f'{where}.loss_decode.class_weight has {len(weight)} weights, and the head {classes} '
                                'classes: give one weight for each class')


def _check_best_metric(cfg: Config) -> None:
    evaluator, checkpoint = cfg.get('val_evaluator'), (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    best = checkpoint.get('save_best')
    # What the evaluators of others measure cannot be known.
    if not best or not isinstance(evaluator, dict) or evaluator.get('type') not in IOU_METRICS:
        return
    chosen = evaluator.get('iou_metrics', ['mIoU'])
    measured = ['aAcc', *(name for metric in ([chosen] if isinstance(chosen, str) else chosen)
                          for name in MEASURED.get(metric, ()))]
    prefix = f'{evaluator["prefix"]}/' if evaluator.get('prefix') else ''
    missing = [name for name in ([best] if isinstance(best, str) else best) if name not in ('auto', *(
        prefix + m for m in measured)) and not name.startswith(f'{prefix}IoU.')]
    if missing:
        raise UserError(f'default_hooks.checkpoint.save_best={missing[0]!r} is not measured by the validation, whose '
                        f'val_evaluator.iou_metrics={chosen!r} give {", ".join(prefix + m for m in measured)}')


def check_dataset(dataset: object, where: str) -> None:
    """Checks that the files of a data set, or of those inside of it, are there.

    A data set class that knows better has a class method ``config_problem(settings: dict) -> str | None``, which says
    what is wrong with its settings.

    Raises:
        UserError: a file or folder is missing.
    """
    from mmseg_attn.registry import DATASETS
    if not isinstance(dataset, dict):
        raise UserError(f'{where} must be dict(type=..., ...), got {dataset!r}')
    for i, inner in enumerate(dataset.get('datasets', [])):
        check_dataset(inner, f'{where}.datasets.{i}')
    if isinstance(dataset.get('dataset'), dict):
        check_dataset(dataset['dataset'], f'{where}.dataset')
    root = dataset.get('data_root') or ''
    cls = _resolve(DATASETS, dataset.get('type'), where)
    if hasattr(cls, 'config_problem'):
        problem = cls.config_problem(dataset)
        if problem:
            raise UserError(f'{problem} (from {where}.data_root): remove it or choose another folder')
        return
    if not isinstance(root, str):
        raise UserError(f'{where}.data_root must be the name of a folder, got {root!r}')
    if 'pipeline' not in dataset or '://' in root:
        return
    prefixes = dataset.get('data_prefix') or {}
    several = [key for key, value in prefixes.items() if not isinstance(value, (str, type(None)))]
    if several:
        raise UserError(f'{where}.data_prefix.{several[0]} must be the name of one folder; of several: a data set for '
                        "each in dict(type='ConcatDataset', datasets=[...])")
    paths = [root, *(osp.join(root, p) for p in (dataset.get('data_prefix') or {}).values() if p)]
    if dataset.get('ann_file'):
        paths.append(osp.join(root, dataset['ann_file']))
    missing = [p for p in paths if p and not osp.exists(p)]
    if missing:
        how = HOW_TO_GET.get(dataset['type'], 'docs/datasets.md describes the layouts')
        raise UserError(f'{missing[0]} does not exist (from {where}, seen from the folder {Path().absolute()}).\n'
                        f'  {how}; data elsewhere: link it there, or --cfg-options {where}.data_root=PATH')
