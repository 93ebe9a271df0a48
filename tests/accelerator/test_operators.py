"""The operators' forms in PyTorch, which run where Triton's kernels do not: in float64, or on an older GPU."""

import pytest
import torch

from tests.accelerator.fake_device import DEVICE, moved, on_fake_device
from tests.ops.test_operators import CASES

pytestmark = pytest.mark.slow


@pytest.fixture
def computed(monkeypatch):
    """What PyTorch asks for the shape of the results computes them: so the operators run on the fake device."""
    def use_its_own_form(operator):
        monkeypatch.setattr(operator, '_abstract_fn', operator._init_fn)
    return use_its_own_form


@pytest.mark.parametrize('dtype', [torch.float64, torch.float16], ids=str)
@pytest.mark.parametrize('name', CASES)
def test_forward_and_backward(name, dtype, computed):
    case = CASES[name]()
    computed(case.operator)
    computed(_backward_of(case.operator))
    tensors = [moved(t.detach().to(dtype)).requires_grad_() for t in case.tensors]
    with on_fake_device():
        out = case(*tensors)
        out = out[0] if isinstance(out, tuple) else out
        out.float().sum().backward()
    assert str(out.device) == DEVICE
    for tensor in tensors:
        assert (str(tensor.grad.device), tensor.grad.dtype) == (DEVICE, dtype)


def _backward_of(operator):
    from importlib import import_module
    return getattr(import_module(operator._init_fn.__module__), f'{operator.__name__}_backward')
