import itertools

import pytest
import torch

from mmseg_attn.ops import dispatch
from mmseg_attn.ops.dispatch import Problem, choose_backend, force_backend, fused_kernels, problem_of
from mmseg_attn.ops.pixel_attention import softmax_attention, softmax_weights

HALF, BF16, FLOAT, DOUBLE = torch.float16, torch.bfloat16, torch.float32, torch.float64
MANY = 2**24
TURING, A100, RTX30, H100, RTX50 = (7, 5), (8, 0), (8, 6), (9, 0), (12, 0)


@pytest.mark.parametrize(('width', 'value_width', 'dtype', 'capability', 'expected'), [
    (64, 64, BF16, A100, ('flash', 'efficient')),
    (256, 256, HALF, H100, ('flash', 'efficient')),
    (250, 250, HALF, H100, ('flash',)),                # flash pads to 8 itself
    (264, 264, HALF, H100, ('efficient',)),
    (257, 257, HALF, H100, ()),
    (64, 512, BF16, A100, ('efficient',)),
    (60, 512, BF16, A100, ()),
    (60, 512, FLOAT, A100, ('efficient',)),
    (256, 256, FLOAT, A100, ('efficient',)),
    (257, 257, FLOAT, A100, ()),
    (257, 257, FLOAT, TURING, ('efficient',)),
    (64, 64, HALF, TURING, ('efficient',)),
    (60, 60, HALF, TURING, ()),
    (60, 60, HALF, (6, 1), ('efficient',)),
    (64, 64, BF16, TURING, ()),
    (64, 64, DOUBLE, H100, ()),
    (0, 8, FLOAT, H100, ()),
], ids=str)
def test_kernels_of_pytorch(width, value_width, dtype, capability, expected):
    assert fused_kernels(Problem(width, value_width, MANY, dtype, capability=capability)) == expected


@pytest.mark.parametrize(('width', 'capability', 'requires_grad', 'expected'), [
    (192, RTX30, True, True), (200, RTX30, True, False), (224, RTX30, True, False), (225, RTX30, True, True),
    (200, RTX30, False, True), (200, (8, 9), True, False), (200, RTX50, True, False), (200, A100, True, True),
    (200, H100, True, True),
], ids=str)
def test_flash_attention_trains_some_widths_on_large_gpus_only(width, capability, requires_grad, expected):
    problem = Problem(width, width, MANY, HALF, requires_grad, capability)
    assert ('flash' in fused_kernels(problem)) is expected


@pytest.mark.parametrize(('width', 'value_width', 'dtype', 'capability', 'triton', 'expected'), [
    (64, 64, FLOAT, None, False, 'sdpa'),
    (64, 64, DOUBLE, None, False, 'sdpa'),
    (64, 512, FLOAT, None, False, 'tiled'),
    (256, 256, BF16, H100, True, 'sdpa'),
    (256, 256, FLOAT, A100, True, 'sdpa'),
    (257, 257, FLOAT, A100, True, 'tiled'),           # PyTorch would store N x N weights
    (257, 257, FLOAT, A100, False, 'tiled'),
    (300, 300, HALF, H100, True, 'tiled'),
    (64, 64, DOUBLE, H100, True, 'tiled'),
    (64, 512, BF16, H100, True, 'tiled'),
    (64, 512, BF16, H100, False, 'sdpa'),
    (64, 512, HALF, TURING, False, 'sdpa'),
    (257, 256, BF16, H100, False, 'tiled'),
], ids=str)
def test_choice(width, value_width, dtype, capability, triton, expected):
    problem = Problem(width, value_width, MANY, dtype, capability=capability, triton=triton)
    assert choose_backend(problem) == expected
    # While tracing for any size.
    assert choose_backend(problem._replace(num_pairs=None)) == expected
    assert choose_backend(problem._replace(num_pairs=2**16)) == 'dense'
    assert choose_backend(problem._replace(num_pairs=2**16 + 1)) == expected


def test_what_tensors_are():
    query, key = torch.randn(2, 300, 6), torch.randn(2, 310, 6)
    value = torch.randn(2, 310, 9, requires_grad=True)
    assert problem_of(query, key, value) == Problem(6, 9, 300 * 310, FLOAT, requires_grad=True)
    with torch.no_grad(), torch.autocast('cpu', BF16):
        assert problem_of(query, key, value) == Problem(6, 9, 300 * 310, BF16)
        assert problem_of(query.double(), key, value).dtype == DOUBLE


@pytest.mark.parametrize('backend', ['dense', 'sdpa', 'tiled'])
@pytest.mark.parametrize('value_width', [5, 8])
def test_any_backend_can_be_forced(backend, value_width):
    query, key, value = (torch.randn(2, 9, width, dtype=DOUBLE) for width in (5, 5, value_width))
    expected = softmax_weights(query, key, 0.7) @ value
    with force_backend(backend):
        assert choose_backend(problem_of(query, key, value)) == backend
        torch.testing.assert_close(softmax_attention(query, key, value, 0.7), expected)
    assert choose_backend(problem_of(query, key, value)) == 'dense'


def test_no_other_backend():
    with pytest.raises(ValueError, match='cudnn'), force_backend('cudnn'):
        pass


def test_a_compiler_takes_the_gpu_for_a_constant(monkeypatch):
    """It cannot trace what asks the driver and launches a kernel to try it."""
    monkeypatch.setattr(dispatch.triton, 'works_on', torch.compiler.disable(lambda device: True))
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: H100)

    def shifted(x):
        capability, has_triton = dispatch._gpu(x.device)
        return x + capability[0] + has_triton

    x = torch.zeros(2)
    assert torch.equal(torch.compile(shifted, backend='eager', fullgraph=True)(x), x + 10)


@pytest.mark.skipif(not torch.cuda.is_available() or torch.version.hip is not None, reason='needs an NVIDIA GPU')
def test_pytorch_says_the_same_of_its_kernels():
    backends = torch.backends.cuda
    takes = {'flash': backends.can_use_flash_attention, 'efficient': backends.can_use_efficient_attention}
    widths = [(64, 64), (60, 60), (200, 200), (256, 256), (257, 257), (264, 264), (64, 512), (60, 512), (257, 256)]
    for (d, e), dtype, grad in itertools.product(widths, (HALF, BF16, FLOAT, DOUBLE), (False, True)):
        inputs = [torch.zeros(1, 300, w, dtype=dtype, device='cuda', requires_grad=grad) for w in (d, d, e)]
        params = backends.SDPAParams(*(t[:, None] for t in inputs), None, 0.0, False, False)
        expected = {name for name in takes if takes[name](params)}
        assert set(fused_kernels(problem_of(*inputs))) == expected, (d, e, dtype, grad)
