"""From the command line to a config. ``config_checks`` says whether it can be run."""

import inspect
import os.path as osp
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .errors import UserError
from .files import atomic_write
from .shipped import find_config

_FORMATTED: dict[str, str] = {}
TIMM_BACKBONE = 'TIMMBackbone'  # mmseg's
INSTALL_BACKBONES = "\n  Backbones of mmpretrain and timm: pip install 'mmseg-attn[backbones]'"
LOADERS = 'train_dataloader', 'val_dataloader', 'test_dataloader'


class WholeConfig(Config):
    """A config that is written whole or not at all, and formatted once: every checkpoint of a training has its text."""

    @property
    def pretty_text(self) -> str:
        # yapf takes half a second for a config of ResNet-101.
        content = repr(self.to_dict())
        if content not in _FORMATTED:
            _FORMATTED.clear()
            _FORMATTED[content] = super().pretty_text
        return _FORMATTED[content]

    def dump(self, file: str | Path | None = None) -> str | None:
        if file is None:
            return super().dump()
        with atomic_write(file) as partial:
            super().dump(partial)
        return None


def load_config(path: str | Path, options: dict | None = None, work_dir: str | None = None) -> Config:
    """Reads a config and merges the options of the command line into it.

    Where ``num_workers`` is 0, ``persistent_workers`` and ``prefetch_factor`` are taken out, which would be errors.
    ``work_dir`` is, in this order: the argument, the config's, ``./work_dirs/<name of the file>``.

    Args:
        path: a file, or the name of a shipped config; see :func:`.shipped.find_config`.
        options: 'key.sub_key' -> value.
        work_dir: where logs and checkpoints go.

    Raises:
        UserError: there is no such file, it is no config, or an option does not fit it.
    """
    path = find_config(path)
    try:
        cfg = Config.fromfile(path)
    except Exception as error:  # a config is code, which raises anything
        hint = INSTALL_BACKBONES if isinstance(error, ImportError) and 'mmpretrain' in str(error) else ''
        raise UserError(f'{path} cannot be read as a config: {_first_lines(error)}{hint}') from error
    try:
        cfg.merge_from_dict(options or {})
    except (KeyError, TypeError, AssertionError, IndexError) as error:
        raise UserError(f'--cfg-options does not fit {path}: {error}') from error
    _fit_workers(cfg)
    # The runner keeps the class when it copies the config, whose own attributes would be settings.
    object.__setattr__(cfg, '__class__', WholeConfig)
    cfg.work_dir = work_dir or cfg.get('work_dir') or osp.join('work_dirs', path.stem)
    return cfg


def input_channels(model: dict) -> int:
    """How many channels the images have that the model of a config takes."""
    return known_channels(model) or 3


def known_channels(model: dict) -> int | None:
    """:func:`input_channels`, where that is known: by the backbone's settings or its class, or by the means."""
    model = model.get('module') or model  # of test-time augmentation
    backbone = model.get('backbone') or {}
    backbone = backbone.get('backbone') or backbone  # of BackboneWithBlocks
    channels = backbone.get('in_channels', _usual_channels(backbone.get('type')))
    means = (model.get('data_preprocessor') or {}).get('mean') or ()
    return channels if isinstance(channels, int) else len(means) if len(means) > 1 else None


def crop_size(cfg: Config) -> tuple[int, int]:
    """Height and width of what the network of a config sees in testing by windows, or else in training."""
    size = (cfg.model.get('test_cfg') or {}).get('crop_size') or cfg.model.data_preprocessor.get('size')
    return tuple(size) if size else (512, 512)


def without_timm_weights(node: Any) -> None:
    """Makes the backbones of timm below a config, in place, load no weights.

    They do so when they are built, and others in ``init_weights``: a model that gets its weights from a checkpoint
    would download them first, and could not be built without a network.
    """
    if isinstance(node, dict):
        if str(node.get('type')).rpartition('.')[2] == TIMM_BACKBONE:
            node.update(pretrained=False, checkpoint_path='')
        node = node.values()
    elif not isinstance(node, (list, tuple)):
        return
    for inner in node:
        without_timm_weights(inner)


def _usual_channels(backbone: object) -> object:
    """What a class takes where its settings do not say so, such as mmseg's ResNetV1c, which leaves it to its bases."""
    from mmseg_attn.registry import MODELS
    cls = MODELS.get(backbone) if isinstance(backbone, str) else backbone
    for base in cls.__mro__ if isinstance(cls, type) else ():
        if '__init__' in vars(base):
            parameters = inspect.signature(vars(base)['__init__']).parameters
            if 'in_channels' in parameters:
                return parameters['in_channels'].default
            if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
                return None
    return None


def _first_lines(error: Exception) -> str:
    text = '\n  '.join(line for line in str(error).splitlines()[:4] if line.strip())
    return text if isinstance(error, (OSError, SyntaxError, ValueError)) and text else f'{type(error).__name__}: {text}'


def _fit_workers(cfg: Config) -> None:
    """``num_workers=0``, as typed for debugging, leaves no workers that could persist or fetch ahead."""
    for name in LOADERS:
        loader = cfg.get(name)
        if isinstance(loader, dict) and loader.get('num_workers') == 0:
            if loader.get('persistent_workers'):
                loader['persistent_workers'] = False
            loader.pop('prefetch_factor', None)
