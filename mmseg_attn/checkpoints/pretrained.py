"""Pretrained weights of a part of the model, which stop the command when none of them fits."""

from mmengine.logging import print_log
from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmengine.runner.checkpoint import CheckpointLoader, load_state_dict
from torch import nn

from .fit import check_some_weights, check_values
from .reading import unwrap


def check_pretrained_weights() -> None:
    """Puts :class:`CheckedPretrainedInit` in the place of mmengine's ``init_cfg=dict(type='Pretrained')``."""
    WEIGHT_INITIALIZERS.register_module('Pretrained', force=True, module=CheckedPretrainedInit)


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
        what = f'{self.checkpoint} for {type(module).__name__}'
        expected = module.state_dict()
        told = check_some_weights(weights, expected, what)
        check_values(weights, expected, what)
        load_state_dict(module, weights, logger='silent')
        print_log(told, logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module, init_info=self._get_init_info())
