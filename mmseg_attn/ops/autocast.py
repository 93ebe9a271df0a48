"""Turns autocast off where half precision would break a computation."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def no_autocast(tensor: Tensor) -> AbstractContextManager:
    """Computes in the dtypes that the tensors have, on the device of ``tensor``."""
    # On meta tensors there is nothing to cast, and torch.autocast raises.
    return nullcontext() if tensor.device.type == 'meta' else torch.autocast(tensor.device.type, enabled=False)
