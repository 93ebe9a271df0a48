"""Copies that a GPU need not be waited for."""

import torch
from torch import Tensor


class Transfer:
    """A copy of a tensor on another device, or the tensor itself where it is there.

    From a GPU to the CPU it goes through pinned memory beside what the GPU computes next.

    Attributes:
        is_under_way: whether :meth:`result` may have to wait.
    """

    def __init__(self, tensor: Tensor, device: torch.device):
        self.is_under_way = tensor.is_cuda and device.type == 'cpu'
        if not self.is_under_way:
            self._copy = tensor.to(device)
            return
        self._copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
        self._copy.copy_(tensor, non_blocking=True)
        self._done = torch.cuda.Event()
        self._done.record(torch.cuda.current_stream(tensor.device))

    def result(self) -> Tensor:
        if self.is_under_way:
            self._done.synchronize()
            self.is_under_way = False
        return self._copy
