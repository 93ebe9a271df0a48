import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_attn.ops import carafe
from tests.helpers import GOLDEN
from tests.naive import carafe as naive


def _inputs(kernel_size=3, groups=2, scale_factor=2, channels=4, height=3, width=4, batch=2, dtype=torch.float64):
    x = torch.randn(batch, channels, height, width, dtype=dtype)
    masks = torch.randn(batch, groups * kernel_size**2, scale_factor * height, scale_factor * width, dtype=dtype)
    return x.requires_grad_(), masks.requires_grad_(), kernel_size, groups, scale_factor


@pytest.mark.parametrize('size', [(1, 1), (1, 3), (4, 2)], ids=str)
@pytest.mark.parametrize(('kernel_size', 'groups', 'scale_factor'), [(1, 1, 1), (5, 1, 2), (3, 2, 3), (3, 4, 1)])
def test_equals_the_loops(kernel_size, groups, scale_factor, size):
    inputs = _inputs(kernel_size, groups, scale_factor, 4, *size)
    arguments = [t.detach().requires_grad_() for t in inputs[:2]]
    out = carafe(*inputs)
    expected = torch.stack([naive.carafe(x, m, *inputs[2:]) for x, m in zip(*arguments, strict=True)])
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    torch.testing.assert_close(torch.autograd.grad(out, inputs[:2], cotangent),
                               torch.autograd.grad(expected, arguments, cotangent))


def test_first_and_second_derivatives():
    inputs = _inputs(channels=2, height=2, width=2, batch=1)
    assert torch.autograd.gradcheck(carafe, inputs)
    assert torch.autograd.gradgradcheck(carafe, inputs)


def _compare(golden, config, grad_output):
    x, masks = golden['input'].requires_grad_(), golden['mask'].requires_grad_()
    out = carafe(x, masks, *config)
    torch.testing.assert_close(out, golden['output'], **GOLDEN)
    grad_x, grad_masks = torch.autograd.grad(out, (x, masks), grad_output)
    torch.testing.assert_close(grad_x, golden['feat_grad'], **GOLDEN)
    torch.testing.assert_close(grad_masks, golden['mask_grad'], **GOLDEN)


def test_equals_mmcv_on_cuda(golden):
    golden = golden('carafe_op_mmcv_cuda_bins')
    config = [golden['config'][key] for key in ('kernel_size', 'group_size', 'scale_factor')]
    _compare(golden, config, torch.ones_like(golden['output']))


@pytest.mark.parametrize('case', [0, 1, 2])
def test_equals_the_kernel_of_mmcv(golden, case):
    case = golden('carafe_op')['cases'][case]
    _compare(case, [case['config'][key] for key in 'kgs'], case['grad_output'])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('masks_dtype', [None, torch.float32])
def test_half_precision_rounds_only_inputs_and_output(dtype, masks_dtype):
    inputs = _inputs(5, 2, 2, 8, 6, 9, dtype=dtype)
    x, masks = inputs[0], inputs[1].detach().to(masks_dtype or dtype).requires_grad_()
    out = carafe(x, masks, *inputs[2:])
    expected = carafe(x.float(), masks.float(), *inputs[2:])
    assert torch.equal(out, expected.to(dtype))
    grads = torch.autograd.grad(out.float().sum(), (x, masks))
    assert [g.dtype for g in grads] == [x.dtype, masks.dtype]
    torch.testing.assert_close(grads, tuple(
        g.to(t.dtype) for g, t in zip(torch.autograd.grad(expected.sum(), (x, masks)), (x, masks), strict=True)))


def test_any_memory_layout():
    inputs = _inputs()
    expected = carafe(*inputs)
    x, masks = (t.detach().to(memory_format=torch.channels_last) for t in inputs[:2])
    torch.testing.assert_close(carafe(x, masks, *inputs[2:]), expected)
    x, masks = (t.detach().transpose(2, 3).contiguous().transpose(2, 3) for t in inputs[:2])
    assert not masks.is_contiguous()
    torch.testing.assert_close(carafe(x, masks, *inputs[2:]), expected)


def test_no_images():
    x, masks, *rest = _inputs(batch=0)
    out = carafe(x, masks, *rest)
    assert out.shape == (0, 4, 6, 8)
    out.sum().backward()
    assert (x.grad.shape, masks.grad.shape) == (x.shape, masks.shape)


class _LargestStorage(TorchDispatchMode):
    nbytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.nbytes = max(self.nbytes, tensor.untyped_storage().nbytes())
        return out


def test_no_tensor_is_larger_than_the_output():
    inputs = _inputs(5, 1, 2, 32, 10, 12, batch=1)
    with _LargestStorage() as largest:
        out = carafe(*inputs)
        out.sum().backward()
    assert largest.nbytes == out.untyped_storage().nbytes()


def test_nothing_but_the_inputs_is_kept_for_the_backward():
    x, masks, *rest = _inputs(5, 1, 2, 32, 10, 12, batch=1)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        carafe(x, masks, *rest)
    assert sum(kept.values()) == 8 * (x.numel() + masks.numel())


def test_compiles_as_one_graph():
    inputs = _inputs()
    compiled = torch.compile(carafe, fullgraph=True, backend='aot_eager')(*inputs)
    expected = carafe(*inputs)
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(torch.autograd.grad(compiled.square().sum(), inputs[:2]),
                               torch.autograd.grad(expected.square().sum(), inputs[:2]))


@pytest.mark.parametrize(('arguments', 'message'), [
    ((2, 2, 2), 'kernel_size must be odd, got 2'),
    ((3, 3, 2), 'got 3 groups of 4 channels'),
    ((3, 0, 2), 'groups must be a positive integer, got 0'),
    ((3, 2, 2.0), r'scale_factor must be a positive integer, got 2\.0'),
    ((3, 2, 0), 'scale_factor must be a positive integer, got 0'),
    ((5, 2, 2), r'masks must have the shape \(2, 50, 6, 8\).*got \(2, 18, 6, 8\)'),
    ((3, 2, 1), r'masks must have the shape \(2, 18, 3, 4\)'),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        carafe(*_inputs()[:2], *arguments)
