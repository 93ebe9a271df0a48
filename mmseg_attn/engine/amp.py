"""``--amp`` of training and testing: mmengine's AMP on GPUs, and on CPUs what mmengine refuses there."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from torch import nn

from mmseg_attn.common.amp import amp_dtype, describe_amp
from mmseg_attn.common.errors import UserError
from mmseg_attn.registry import OPTIM_WRAPPERS

ON_CPU = 'mmseg_attn.CPUAmpOptimWrapper'
WITH_AMP = ('AmpOptimWrapper', 'CPUAmpOptimWrapper')
NOT_EVALUATED = '; not in the evaluation, whose loop is not of mmengine'


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(OptimWrapper):
    """An OptimWrapper whose forward is under autocast to bfloat16 on the CPU. Weights and gradients stay in float32.

    mmengine's AmpOptimWrapper needs a GPU. It scales the loss, which bfloat16 has no need of; the state of its scaler,
    which a checkpoint from a GPU holds, is kept here for the next checkpoint.

    Args:
        dtype: 'bfloat16', or None for it.
        loss_scale: of AmpOptimWrapper, for when the config goes to a GPU; not used here. Likewise ``use_fsdp``.
        kwargs: arguments of OptimWrapper.
    """

    def __init__(self, dtype: str | None = None, loss_scale: object = None, use_fsdp: bool = False, **kwargs):
        super().__init__(**kwargs)
        if dtype not in (None, 'bfloat16'):
            raise ValueError(f"dtype on a CPU must be 'bfloat16', got {dtype!r}")
        self.loss_scaler_state: dict | None = None

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield

    def state_dict(self) -> dict:
        state = super().state_dict()
        return state if self.loss_scaler_state is None else state | dict(loss_scaler=self.loss_scaler_state)

    def load_state_dict(self, state_dict: dict) -> None:
        state_dict = dict(state_dict)
        self.loss_scaler_state = state_dict.pop('loss_scaler', None)
        super().load_state_dict(state_dict)


def train_with_amp(cfg: Config, asked_for: bool) -> str | None:
    """Makes a config train and validate with AMP on the device that mmengine takes, if that is wanted.

    Args:
        cfg: the config. If its ``optim_wrapper`` has AMP, on a GPU or a CPU, it is wanted.
        asked_for: it is wanted in any case.

    Returns:
        A line on AMP for the log, or None without it.

    Raises:
        UserError: there is no optim_wrapper, or one of another kind, or the device cannot compute in its dtype.
    """
    wrapper = cfg.get('optim_wrapper')
    if not isinstance(wrapper, dict):
        raise UserError(f'a training needs optim_wrapper=dict(optimizer=dict(...)) in its config, got {wrapper!r}')
    kind = _name(wrapper.get('type', 'OptimWrapper'))
    if kind not in WITH_AMP and not asked_for:
        return None
    if kind not in ('OptimWrapper', *WITH_AMP):
        raise UserError(f'--amp replaces an OptimWrapper; optim_wrapper.type is {kind!r}')
    device = get_device()
    dtype = amp_dtype(cfg, device)
    wrapper.type = ON_CPU if device == 'cpu' else 'AmpOptimWrapper'
    if device != 'cpu':
        wrapper.setdefault('loss_scale', 'dynamic')
    return _evaluate_with_amp(cfg.get('val_cfg'), device, dtype)


def test_with_amp(cfg: Config) -> str:
    """Makes a config test under autocast, and returns a line on that for the log.

    Raises:
        UserError: the device cannot compute in the dtype of ``cfg.optim_wrapper``, or the test loop is not mmengine's.
    """
    device = get_device()
    dtype = amp_dtype(cfg, device)
    if 'optimizer' not in (cfg.get('optim_wrapper') or {}):
        cfg.pop('optim_wrapper', None)  # of the command line, for the dtype; mmengine wants a whole training or none
    line = _evaluate_with_amp(cfg.get('test_cfg'), device, dtype)
    if line.endswith(NOT_EVALUATED):
        raise UserError(f'--amp works with the TestLoop of mmengine, and test_cfg.type is {cfg.test_cfg.type!r}')
    return line


def dtype_of(cfg: Config, device: str) -> torch.dtype | None:
    """In which a config computes on a device, if its ``optim_wrapper`` has AMP."""
    wrapper = cfg.get('optim_wrapper') or {}
    return amp_dtype(cfg, device) if _name(wrapper.get('type')) in WITH_AMP else None


def _name(kind: object) -> str:
    """Without the scope: all of them are registered by mmengine, or here."""
    return str(kind).rpartition('.')[2]


def _evaluate_with_amp(loop: dict | None, device: str, dtype: torch.dtype) -> str:
    # The name is mmengine's: its loops autocast to the dtype that is set for the device.
    torch.set_autocast_dtype(device, dtype)
    line = describe_amp(device, dtype)
    if loop is None:
        return line
    if _name(loop.get('type', 'ValLoop')) not in ('ValLoop', 'TestLoop'):
        return line + NOT_EVALUATED
    loop['fp16'] = True
    return line
