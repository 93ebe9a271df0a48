"""From the command line to a config that is known to be runnable, before any work is done."""

import difflib
import os.path as osp
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmseg_attn.datasets.context_shapes import is_foreign

from .errors import UserError

HOW_TO_GET = {
    'PascalVOCDataset': 'python tools/prepare_data.py voc prepares it (docs/data_preparation.md)',
    'CityscapesDataset': 'python tools/prepare_data.py cityscapes prepares it (docs/data_preparation.md)',
    'mmseg_attn.CamVidDataset': 'python tools/prepare_data.py camvid prepares it (docs/data_preparation.md)',
}


def load_config(path: str, options: dict | None = None, work_dir: str | None = None) -> Config:
    """Reads a config file and merges the options of the command line into it.

    ``work_dir`` is, in this order: the argument, the config's, ``./work_dirs/<name of the file>``.

    Raises:
        UserError: no such file, or an option that does not fit the config.
    """
    if not osp.isfile(path):
        raise UserError(f'there is no config file {path}{_suggest(path)}')
    try:
        cfg = Config.fromfile(path)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f'{path} cannot be read as a config: {error}') from error
    try:
        cfg.merge_from_dict(options or {})
    except (KeyError, TypeError, AssertionError) as error:
        raise UserError(f'--cfg-options does not fit {path}: {error}') from error
    cfg.work_dir = work_dir or cfg.get('work_dir') or osp.join('work_dirs', Path(path).stem)
    return cfg


def _suggest(path: str) -> str:
    folder = Path(path).parent
    if not folder.is_dir():
        return f': the folder {folder} does not exist either'
    names = [p.name for p in folder.glob('*.py')]
    close = difflib.get_close_matches(Path(path).name, names, n=3)
    return f'; did you mean {" or ".join(str(folder / name) for name in close)}?' if close else ''


def check_config(cfg: Config, *loaders: str) -> None:
    """Checks what can be known before any work: the types of the model's parts, and the folders of the data.

    Args:
        cfg: the config.
        loaders: the data loaders that will be used, such as 'train_dataloader'.

    Raises:
        UserError: an unknown type, or a missing file or folder.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    _check_types(cfg.model)
    for loader in loaders:
        _check_dataset(cfg[loader].dataset, where=f'{loader}.dataset')


def _check_types(model: dict) -> None:
    from mmseg_attn.registry import MODELS
    for part in ('', 'data_preprocessor', 'backbone', 'neck', 'decode_head', 'auxiliary_head'):
        parts = model if not part else model.get(part) or []
        for config in parts if isinstance(parts, (list, tuple)) else [parts]:
            name = config.get('type')
            where = f'model.{part}'.rstrip('.')
            if name is None:
                raise UserError(f'{where} has no type')
            if isinstance(name, str) and MODELS.get(name) is None:
                known = [f'mmseg_attn.{n}' for n in MODELS.module_dict] + list(MODELS.parent.module_dict)
                close = difflib.get_close_matches(name, known, n=2)
                hint = f'did you mean {" or ".join(close)}?' if close else 'it is in neither mmseg nor mmseg_attn'
                raise UserError(f'{where}.type={name!r} is unknown: {hint}')


def _check_dataset(dataset: dict, where: str) -> None:
    for i, inner in enumerate(dataset.get('datasets', [])):
        _check_dataset(inner, f'{where}.datasets.{i}')
    if isinstance(dataset.get('dataset'), dict):
        _check_dataset(dataset['dataset'], f'{where}.dataset')
    root = dataset.get('data_root') or ''
    if dataset.get('type') == 'mmseg_attn.ContextShapesDataset':
        if is_foreign(Path(root)):
            raise UserError(f'{root} exists and is not a ContextShapes data set (from {where}.data_root): remove it or '
                            'choose another folder')
        return
    if 'pipeline' not in dataset or '://' in root:
        return
    paths = [root, *(osp.join(root, p) for p in dataset.get('data_prefix', {}).values() if p)]
    if dataset.get('ann_file'):
        paths.append(osp.join(root, dataset['ann_file']))
    missing = [p for p in paths if p and not osp.exists(p)]
    if missing:
        how = HOW_TO_GET.get(dataset.get('type'), 'docs/datasets.md describes the layouts')
        raise UserError(f'{missing[0]} does not exist (from {where}, seen from the folder {osp.abspath(".")}).\n'
                        f'  {how}; data elsewhere: link it there, or --cfg-options {where}.data_root=PATH')
