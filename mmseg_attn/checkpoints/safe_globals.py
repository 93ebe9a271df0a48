"""Lets torch.load(weights_only=True), the default since PyTorch 2.6, read the checkpoints that mmengine writes."""

from pickle import UnpicklingError

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer

STATISTICS = ('min', 'max', 'mean', 'current')


def allow_mmengine_checkpoints() -> None:
    """Registers the harmless types that mmengine stores beside the weights: arrays, and the history of the log.

    The original mmengine 0.10.7 does not, and so can neither load nor resume its own checkpoints with PyTorch 2.6.
    """
    core = np._core if hasattr(np, '_core') else np.core
    number_types = [type(np.dtype(name)) for name in ('float32', 'float64', 'int32', 'int64', 'uint32')]
    torch.serialization.add_safe_globals([
        HistoryBuffer, np.ndarray, np.dtype, *number_types, core.multiarray._reconstruct, core.multiarray.scalar,
        (_method_of_history, 'builtins.getattr')])


def _method_of_history(owner: object, name: str) -> object:
    """What a file gets for ``getattr``, by which a HistoryBuffer names its methods. The whole one reaches ``exec``."""
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise UnpicklingError(f'GLOBAL getattr was not an allowed global by default: of {owner!r} for {name!r}')
    return getattr(owner, name)
