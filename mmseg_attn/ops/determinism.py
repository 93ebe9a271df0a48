"""PyTorch's deterministic mode, which on a GPU refuses operators that add in any order."""

import torch
from torch import Tensor


def is_required(tensor: Tensor) -> bool:
    """Whether an operator without a deterministic form on GPUs would be refused for this tensor."""
    return tensor.is_cuda and torch.are_deterministic_algorithms_enabled()
