"""What a config from a stranger's checkpoint may name: mmengine imports and calls whatever stands in a ``type``."""

from functools import cache
from typing import Any

import mmengine.registry
import mmseg.registry
from mmengine.registry import Registry, init_default_scope

import mmseg_attn.registry
from mmseg_attn.common.errors import UserError

SCOPES = ('', 'mmengine', 'mmcv', 'mmseg', 'mmseg_attn')
TYPE_KEYS = ('type', 'constructor', 'runner_type')
# What loads files or code when the config is used.
LOADING_KEYS = ('custom_imports', 'load_from', 'resume', 'pretrained')


def check_types(config: object, where: str) -> None:
    """Checks that every name of a type in ``config`` is one that mmengine, mmcv, mmseg or this package registers.

    Raises:
        UserError: one is not.
    """
    if isinstance(config, dict):
        for key, value in config.items():
            if key in TYPE_KEYS and not (isinstance(value, str) and _is_registered(value)):
                raise UserError(
                    f'{where} has the {key} {value!r}, which neither OpenMMLab nor this package registers, and which '
                    'would be imported and called.\n  If you know it, save the weights without their config: '
                    'torch.save(torch.load(FILE)["state_dict"], NEW)')
            check_types(value, where)
    elif isinstance(config, list | tuple):
        for value in config:
            check_types(value, where)


def without_loading(config: Any) -> Any:
    """``config`` without what would load other files: imports, pretrained weights."""
    if isinstance(config, dict):
        return {key: without_loading(value) for key, value in config.items()
                if key not in LOADING_KEYS and not (key == 'init_cfg' and 'checkpoint' in str(value))}
    if isinstance(config, list | tuple):
        return type(config)(without_loading(value) for value in config)
    return config


def _is_registered(name: str) -> bool:
    scope, _, name = name.rpartition('.')
    return scope in SCOPES and name in _registered_names()


@cache
def _registered_names() -> set[str]:
    init_default_scope('mmseg')
    found = set()
    for module in mmengine.registry, mmseg.registry, mmseg_attn.registry:
        for registry in vars(module).values():
            if isinstance(registry, Registry):
                registry.import_from_location()
                found |= registry.module_dict.keys()
    return found
