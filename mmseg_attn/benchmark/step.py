"""One run of what is measured: a forward as in testing, or a forward and backward as in training."""

import torch

from .cases import Case


class Step:
    """Runs a case as users do.

    'forward' is in evaluation and without gradients; 'forward+backward' in training, with the gradients of all
    parameters and of the inputs, from random gradients of the outputs in place of a loss.

    Args:
        case: on ``device`` in float32; its mode is set at every run.
        inputs: on ``device``.
        mode: one of :data:`MODES`.
        dtype: half precision is autocast's, as mmengine's ``--amp`` has it: weights and inputs stay float32.
    """

    def __init__(self, case: Case, inputs: list[torch.Tensor], mode: str, dtype: torch.dtype = torch.float32):
        self.case = case
        self.training = mode == 'forward+backward'
        self.inputs = [x.detach().requires_grad_(self.training) for x in inputs]
        self.autocast = torch.autocast(inputs[0].device.type, dtype, enabled=dtype != torch.float32)
        self.gradients = None

    def prepare(self) -> None:
        """What precedes a run and is no part of it: the mode, and no gradients of an earlier run."""
        self.case.train(self.training)
        self.case.zero_grad(set_to_none=True)
        for x in self.inputs:
            x.grad = None

    def __call__(self) -> None:
        with torch.set_grad_enabled(self.training):
            with self.autocast:
                outputs = self.case(*self.inputs)
            if self.training:
                if self.gradients is None:
                    self.gradients = [torch.randn_like(out) for out in outputs]
                torch.autograd.backward(outputs, self.gradients)
