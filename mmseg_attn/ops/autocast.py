"""Turns autocast off where half precision would break a computation."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def no_autocast(tensor: Tensor) -> AbstractContextManager:
    """Computes in the dtypes that the tensors have, on the device of ``tensor``."""
    # On meta tensors there is nothing to cast, and torch.autocast raises.
    return nullcontext() if tensor.device.type == 'meta' else torch.autocast(tensor.device.type, enabled=False)


def computing_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype that autocast, if it is on, hands ``tensor`` over to a matrix product in."""
    device = tensor.device.type
    if device in ('cpu', 'cuda') and torch.is_autocast_enabled(device) and tensor.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return tensor.dtype
