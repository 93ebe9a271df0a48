"""Learning rates for parts of a network, with no weight decay for norms, biases and scales anywhere."""

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from mmseg_attn.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class FlatDecayConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor; parameters of one dimension are not decayed.

    mmengine's ``norm_decay_mult``, ``bias_decay_mult`` and ``flat_decay_mult`` do not act on what a key of
    ``custom_keys`` matches, so that learning rates for parts of the network would bring the decay back.

    Args:
        optim_wrapper_cfg: of the optimizer wrapper.
        paramwise_cfg: as mmengine's, and required: it makes a group for each parameter.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        if not self.paramwise_cfg:
            raise ValueError('FlatDecayConstructor needs a paramwise_cfg, for example '
                             "dict(custom_keys={'backbone': dict(lr_mult=0.1)})")
        optim_wrapper = super().__call__(model)
        for group in optim_wrapper.optimizer.param_groups:
            parameter, = group['params']
            if parameter.ndim <= 1:
                group['weight_decay'] = 0.0
        return optim_wrapper
