"""Pretrained weights of a part of the model, which stop the command when none of them fits."""

from collections import OrderedDict
from functools import partial

from mmengine.logging import print_log
from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner.checkpoint import CheckpointLoader, load_state_dict
from torch import Tensor, nn

from .fit import check_some_weights, check_values
from .reading import unwrap


def check_pretrained_weights() -> None:
    """Puts :class:`CheckedPretrainedInit` in the place of mmengine's ``init_cfg=dict(type='Pretrained')``."""
    WEIGHT_INITIALIZERS.register_module('Pretrained', force=True, module=CheckedPretrainedInit)


class _Checked(OrderedDict):
    """Weights that :class:`CheckedPretrainedInit` has compared."""


def check_what_modules_load(model: nn.Module) -> None:
    """Compares also what modules load by themselves for ``init_cfg=dict(type='Pretrained')``, such as Swin and ViT.

    Raises:
        UserError: by ``model.init_weights()``; no weight of a file is one of the module, or one is not finite.
    """
    for module in model.modules():
        init_cfg = getattr(module, 'init_cfg', None)
        if isinstance(init_cfg, dict) and init_cfg.get('checkpoint'):
            module.register_load_state_dict_pre_hook(partial(_compare, init_cfg['checkpoint']))


def _compare(checkpoint: str, module: nn.Module, weights: dict, prefix: str, *_: object) -> None:
    # With a prefix, it is a part of a model that is loaded.
    if not prefix and not isinstance(weights, _Checked):
        _tell(weights, module, checkpoint)


def _tell(weights: dict, module: nn.Module, checkpoint: str) -> None:
    what, expected = f'{checkpoint} for {type(module).__name__}', module.state_dict()
    weights = {name: value for name, value in weights.items() if isinstance(value, Tensor)}
    told = check_some_weights(weights, expected, what)
    check_values(weights, expected, what)
    print_log(told, logger='current')


class CheckedPretrainedInit(PretrainedInit):
    """mmengine's initializer, which says in one line what it has loaded.

    Raises:
        UserError: no weight of the file is one of the module, or one is not finite.
    """

    def __call__(self, module: nn.Module) -> None:
        content = CheckpointLoader.load_checkpoint(self.checkpoint, self.map_location)
        weights, _ = unwrap(content, self.checkpoint)
        if self.prefix is not None:
            prefix = self.prefix.rstrip('.') + '.'
            weights = {name[len(prefix):]: value for name, value in weights.items() if name.startswith(prefix)}
        _tell(weights, module, self.checkpoint)
        load_state_dict(module, _Checked(weights), logger='silent')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())
