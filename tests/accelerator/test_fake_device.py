"""That the device finds what it is for. Each of these is an error, or a wait, on a real GPU."""

import pytest
import torch

from tests.accelerator.fake_device import DEVICE, NAME, Waited, moved, on_fake_device

pytestmark = pytest.mark.slow

WAITING = {
    'item': lambda x: x.sum().item(),
    'bool': lambda x: bool(x.sum() > 0),
    'float': lambda x: float(x.sum()),
    'tolist': lambda x: x[0].tolist(),
    'if': lambda x: x if x.any() else None,
    'nonzero': lambda x: x.nonzero(),
    'unique': lambda x: x.unique(),
    'masked_select': lambda x: x.masked_select(x > 0),
    'index of booleans': lambda x: x[x > 0],
    'assignment by booleans': lambda x: x.__setitem__(x > 0, 0),
    'index on the CPU': lambda x: x[torch.tensor([0, 1])],
    'list as an index': lambda x: x[:, [0, 1]],
    'cpu': lambda x: x.cpu(),
    'to the CPU': lambda x: x.to('cpu', torch.float16),
    'to the device': lambda x: torch.ones(3).to(x.device),
    'tensor': lambda x: torch.tensor([1.0, 2.0], device=x.device),
    'new_tensor': lambda x: x.new_tensor([1.0, 2.0]),
    'copy_': lambda x: torch.zeros(3, 4).copy_(x),
}
GOING_ON = {
    'number': lambda x: 2 * x + 1,
    'tensor of one number': lambda x: x + torch.ones(()),
    'made on the device': lambda x: x * torch.arange(4, device=x.device),
    'mask': lambda x: x.masked_fill(x > 0, 0),
    'where': lambda x: torch.where(x > 0, x, 0),
    'to its own device': lambda x: x.to(DEVICE).to(x),
    'index on the device': lambda x: x[torch.arange(2, device=x.device)],
    'non_blocking': lambda x: x + torch.ones(4).to(x.device, non_blocking=True),
    'on the CPU alone': lambda x: torch.ones(3).sum().item() * x,
}
CASTS = {
    'product': (lambda x: x @ x, torch.float16),
    'convolution': (lambda x: torch.conv2d(x, x), torch.float16),
    'softmax': (lambda x: x.half().softmax(0), torch.float32),
    'sum': (lambda x: x.half().sum(), torch.float32),
    'two dtypes': (lambda x: torch.cat([x, x.half()]), torch.float32),
    'anything else': (lambda x: x.half() + 1, torch.float16),
    'float64': (lambda x: x.double() @ x.double(), torch.float64),
}


@pytest.mark.parametrize('name', WAITING)
def test_waiting_is_found(name):
    x = moved(torch.randn(3, 4))
    with on_fake_device(), pytest.raises(Waited):
        WAITING[name](x)


@pytest.mark.parametrize('name', GOING_ON)
def test_what_no_gpu_waits_for_is_none(name):
    x = moved(torch.randn(3, 4))
    with on_fake_device():
        assert str(GOING_ON[name](x).device) == DEVICE


def test_a_wait_in_a_backward_is_found():
    class Waits(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad * grad.sum().item()

    x = moved(torch.randn(3, 4)).requires_grad_()
    with on_fake_device(), pytest.raises(Waited, match='a number is read'):
        Waits.apply(x).sum().backward()


@pytest.mark.parametrize('name', ['add', 'matmul', 'cat'])
def test_tensors_on_two_devices(name):
    x, other = moved(torch.randn(3, 3)), torch.randn(3, 3)
    with on_fake_device(), pytest.raises(RuntimeError, match='same device'):
        torch.cat([x, other]) if name == 'cat' else getattr(torch, name)(x, other)


@pytest.mark.parametrize('name', CASTS)
def test_autocast(name):
    operation, dtype = CASTS[name]
    x = moved(torch.randn(1, 3, 3, 3))
    with on_fake_device(), torch.autocast(NAME, torch.float16):
        assert operation(x).dtype == dtype
