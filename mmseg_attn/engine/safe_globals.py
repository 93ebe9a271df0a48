"""Lets torch.load(weights_only=True), the default since PyTorch 2.6, read the checkpoints that mmengine writes."""

import numpy as np
import torch
from mmengine.logging.history_buffer import HistoryBuffer


def allow_mmengine_checkpoints() -> None:
    """Registers the harmless types that mmengine stores beside the weights: arrays, and the history of the log.

    The original mmengine 0.10.7 does not, and so can neither load nor resume its own checkpoints with PyTorch 2.6.
    """
    core = np._core if hasattr(np, '_core') else np.core
    number_types = [type(np.dtype(name)) for name in ('float32', 'float64', 'int32', 'int64', 'uint32')]
    torch.serialization.add_safe_globals([
        HistoryBuffer, np.ndarray, np.dtype, *number_types, core.multiarray._reconstruct, core.multiarray.scalar,
        getattr,  # a HistoryBuffer holds bound methods; what getattr returns is still not called unless listed here
    ])
