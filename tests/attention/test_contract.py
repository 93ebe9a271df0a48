"""What every attention block promises (docs/design.md): one battery over all of them."""

import pytest
import torch
from torch.export import Dim
from torch.utils._python_dispatch import TorchDispatchMode

from mmseg_attn.ops import determinism
from tests.attention.blocks import BLOCKS, EXPORT_MULTIPLE, WITHOUT_MAP, variants_slow
from tests.attention.variants import CHANNELS
from tests.helpers import randomize

SIZES = [(1, 1), (1, 7), (7, 1), (9, 13), (16, 3)]


@pytest.fixture(params=variants_slow(BLOCKS))
def block(request):
    return randomize(BLOCKS[request.param]()).eval()


def _image(batch=2, height=9, width=13, dtype=torch.float32):
    return torch.randn(batch, CHANNELS, height, width, dtype=dtype)


def test_any_size_and_independent_of_the_batch(block):
    for size in SIZES:
        x = _image(3, *size)
        out = block(x)
        assert out.shape == x.shape
        for i in range(3):
            torch.testing.assert_close(out[i:i + 1], block(x[i:i + 1]), msg=lambda text, size=size: f'{size}: {text}')


def test_memory_layout_does_not_matter(block):
    x = _image()
    expected = block(x)
    torch.testing.assert_close(block(x.to(memory_format=torch.channels_last)), expected)
    torch.testing.assert_close(block(x.transpose(2, 3).contiguous().transpose(2, 3)), expected)
    torch.testing.assert_close(block(torch.cat([x, x], dim=1)[:, :CHANNELS]), expected)


def test_float32_agrees_with_float64(block):
    x = _image(dtype=torch.float64)
    expected = block.double()(x)
    assert expected.dtype == torch.float64
    torch.testing.assert_close(block.float()(x.float()).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_autocast_stays_close(block, dtype):
    x = _image()
    expected = block(x)
    with torch.autocast('cpu', dtype):
        out = block(x)
    error = (out.float() - expected).abs().mean() / expected.std()
    assert error < (0.03 if dtype == torch.bfloat16 else 0.005)


@pytest.mark.parametrize('name', BLOCKS)
def test_shapes_on_the_meta_device(name):
    """Also of a map that is more than one tile of attention, and where autocast is on around it."""
    block = BLOCKS[name]().to('meta')
    for training, size in (False, (9, 13)), (True, (17, 31)):
        x = _image(2, *size).to('meta')
        with torch.autocast('cpu', enabled=training):
            out = block.train(training)(x)
        assert (out.device, out.shape) == (x.device, x.shape)


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('size', [(1, 7), (9, 13)], ids=str)
def test_every_trainable_parameter_gets_a_finite_gradient(block, size, training):
    block.train(training)
    x = _image(2, *size).requires_grad_()
    block(x).square().sum().backward()
    assert x.grad.isfinite().all()
    for name, parameter in block.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_gradients_by_finite_differences(block):
    block.double()
    x = torch.randn(2, CHANNELS, 3, 2, dtype=torch.float64, requires_grad=True)
    if 'Expectation' in type(block).__name__:
        pytest.skip('the official gradient leaves EM out; tests/attention/test_emanet.py compares with it')
    parameters = [p for p in block.parameters() if p.requires_grad]
    assert torch.autograd.gradcheck(lambda x, *_: block(x), (x, *parameters), fast_mode=True)


def test_deterministic_in_eval(block):
    x = _image()
    assert torch.equal(block(x), block(x))


class WithoutRefused(TorchDispatchMode):
    """Without the operators that PyTorch's deterministic mode refuses on a GPU, of those that blocks might use.

    That of ``interpolate`` is not among them: on a GPU PyTorch takes another then.
    """

    NAMES = ('_adaptive_avg_pool2d_backward', '_adaptive_avg_pool3d_backward', 'adaptive_max_pool2d_backward', 'cumsum',
             'grid_sampler_2d_backward', 'reflection_pad2d_backward', 'median', 'histc', 'put', 'scatter_reduce')

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        assert name not in self.NAMES or not args[0].is_floating_point(), f'a GPU refuses {name}'
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize('name', BLOCKS)
def test_deterministic_mode_of_a_gpu(name, monkeypatch):
    block, x = randomize(BLOCKS[name]()).double(), _image(dtype=torch.float64)
    expected = block.eval()(x)
    monkeypatch.setattr(determinism, 'is_required', lambda tensor: True)
    torch.testing.assert_close(block(x), expected)
    with WithoutRefused():
        block.train()(x.requires_grad_()).square().sum().backward()


@pytest.mark.parametrize('name', variants_slow(BLOCKS))
def test_state_dict_round_trip(name):
    block, other = (randomize(BLOCKS[name]()).eval() for _ in range(2))
    other.load_state_dict(block.state_dict())
    x = _image()
    assert torch.equal(block(x), other(x))


def _others_slow(names):
    """Compiling takes seconds: one method in the quick run, and all in the full one."""
    return [pytest.param(name, marks=() if name == 'emanet' else pytest.mark.slow)
            for name in names]


@pytest.mark.parametrize('training', [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize('name', _others_slow(BLOCKS))
def test_compiles_as_one_graph(name, training):
    torch._dynamo.reset()
    block = randomize(BLOCKS[name]()).train(training)
    x = _image()
    state = {k: v.clone() for k, v in block.state_dict().items()}
    expected = block(x)
    block.load_state_dict(state)
    torch.testing.assert_close(torch.compile(block, fullgraph=True, backend='aot_eager')(x), expected)


@pytest.mark.parametrize('name', _others_slow(name for name in BLOCKS if name not in EXPORT_MULTIPLE))
def test_exports_with_free_sizes(name):
    if torch.__version__ < (2, 7) and name.startswith(('dgmn', 'psanet')):
        pytest.skip('PyTorch 2.6 takes minutes for grid_sample, and takes sizes below the mask for impossible')
    block = randomize(BLOCKS[name]()).eval()
    # As tools/export.py does, and as PyTorch does by default since 2.7.
    program = torch.export.export(block, (_image(),), strict=False,
                                  dynamic_shapes=({0: Dim.AUTO, 2: Dim.AUTO, 3: Dim.AUTO},))
    for size in [(3, 7, 20), (1, 32, 5)]:
        x = _image(*size)
        torch.testing.assert_close(program.module()(x), block(x))


@pytest.mark.slow
@pytest.mark.parametrize('name', EXPORT_MULTIPLE)
def test_exports_with_free_multiples(name):
    block, multiple = randomize(BLOCKS[name]()).eval(), EXPORT_MULTIPLE[name]
    free = {0: Dim('batch'), 2: multiple * Dim('rows'), 3: multiple * Dim('columns')}
    program = torch.export.export(block, (_image(2, 2 * multiple, 3 * multiple),), dynamic_shapes=(free,))
    for batch, rows, columns in [(3, 4, 2), (1, 3, 5)]:
        x = _image(batch, rows * multiple, columns * multiple)
        torch.testing.assert_close(program.module()(x), block(x))


class _LargestTensor(TorchDispatchMode):
    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return out


def test_memory_is_linear_in_the_number_of_pixels(block):
    height, width = 32, 64
    x = _image(1, height, width).requires_grad_()
    with _LargestTensor() as largest:
        block(x).sum().backward()
    assert largest.numel < (height * width)**2 / 4


POINTS = torch.tensor([[0, 0], [4, 7], [8, 12]])


@pytest.fixture(params=variants_slow(name for name in BLOCKS if name not in WITHOUT_MAP))
def mapped(request):
    return randomize(BLOCKS[request.param]()).eval()


@pytest.mark.parametrize('name', sorted(WITHOUT_MAP))
def test_a_block_without_a_map_says_so(name):
    with pytest.raises(NotImplementedError, match='no map over pixels'):
        BLOCKS[name]().attention_map(_image(), POINTS)


def test_attention_map_has_the_size_of_the_map(mapped):
    weights = mapped.attention_map(_image(), POINTS)
    assert weights.shape == (2, 3, 9, 13)
    assert weights.isfinite().all()
    assert not weights.requires_grad


def test_attention_map_refuses_bad_points(mapped):
    for points in [[9, 0]], [[0, -1]], [[0.5, 1.0]], [0, 1], [[0, 1, 2]]:
        with pytest.raises(ValueError, match='point'):
            pytest.fail(f'took {points}: {mapped.attention_map(_image(), torch.tensor(points))}')


def test_attention_map_leaves_the_block_alone(mapped):
    mapped.train()
    before = {k: v.clone() for k, v in mapped.state_dict().items()}
    mapped.attention_map(_image(), POINTS)
    for key, value in mapped.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_attention_map_of_half_precision(mapped, dtype):
    x = _image()
    expected = mapped.attention_map(x, POINTS)
    with torch.autocast('cpu', dtype):
        weights = mapped.attention_map(x.to(dtype), POINTS)
    assert weights.dtype == torch.float32
    assert (weights - expected).abs().mean() < 0.05 * expected.abs().mean()
