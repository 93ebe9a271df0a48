import pytest
import torch

from mmseg_attn.ops.triton import attention, tiles
from mmseg_attn.ops.triton.attention import attention_backward, attention_forward
from mmseg_attn.ops.triton.tiles import LOGITS_BACKWARD, Limits, Tiles, candidates, logits_shape

from .attention_checks import check_attention, doubles, random_inputs
from .closeness import DTYPES, assert_equals_oracle

# The quick tests compare each kernel with PyTorch's operators in test_dispatch.py.
pytestmark = pytest.mark.slow


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('shape', [
    (1, 2, 37, 45, 5, 7), (2, 1, 1, 70, 20, 1), (1, 1, 150, 3, 1, 65), (1, 2, 19, 33, 16, 32)], ids=str)
def test_equals_the_definition(shape, dtype, device):
    inputs = random_inputs(shape, device, dtype)
    check_attention(inputs, torch.randn(*shape[:3], shape[5]).to(device, dtype))


@pytest.fixture
def _small_tiles(monkeypatch):
    """Several of everything in matrices of a few dozen numbers."""
    table = dict.fromkeys((2, 4), (Tiles(16, 16, 16, 16, 4, 2),))
    monkeypatch.setattr(attention, 'FORWARD', table)
    monkeypatch.setattr(attention, 'LOGITS_BACKWARD', table)
    for name in ('PIECE', 'WIDEST'):
        monkeypatch.setattr(tiles, name, dict.fromkeys((2, 4), 16))


@pytest.mark.parametrize(('exclude_itself', 'dtype'), [(False, torch.float32), (True, torch.float16)], ids=str)
@pytest.mark.usefixtures('_small_tiles')
def test_widths_and_sides_of_several_tiles(exclude_itself, dtype, device):
    inputs = random_inputs((1, 1, 20, 19, 37, 20), device, dtype)
    check_attention(inputs, torch.randn(1, 1, 20, 20).to(device, dtype), 0.2, exclude_itself)


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32], ids=str)
def test_tiles_of_a_small_grid(dtype, device, monkeypatch):
    limits = Limits(multiprocessors=8)
    monkeypatch.setattr(attention, 'limits_of', lambda device: limits)
    size = dtype.itemsize
    assert candidates(LOGITS_BACKWARD[size], logits_shape, 128, 2, 16, 16, size, limits)[0].rows == 64
    inputs = random_inputs((1, 2, 128, 128, 16, 10), device, dtype)
    check_attention(inputs, torch.randn(1, 2, 128, 10).to(device, dtype))


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
def test_no_query_sees_itself(dtype, device):
    inputs = random_inputs((1, 2, 19, 19, 6, 9), device, dtype)
    check_attention(inputs, torch.randn(1, 2, 19, 9).to(device, dtype), exclude_itself=True)


def test_a_query_without_keys(device):
    inputs = random_inputs((2, 1, 1, 1, 3, 4), device)
    grad = torch.randn(2, 1, 1, 4, device=device)
    out, lse = attention_forward(*inputs, 1.0, exclude_itself=True)
    assert torch.equal(out, torch.zeros_like(out))
    assert torch.equal(lse, torch.full_like(lse, -torch.inf))
    for gradient in attention_backward(grad, *inputs, lse, torch.zeros_like(lse), 1.0, exclude_itself=True):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_no_queries_or_no_keys(device):
    for shape in [(2, 1, 0, 5, 3, 4), (0, 1, 5, 5, 3, 4), (2, 1, 5, 0, 3, 4)]:
        inputs = random_inputs(shape, device)
        out, lse = attention_forward(*inputs, 1.0)
        assert out.shape == (*shape[:3], 4)
        assert torch.equal(out, torch.zeros_like(out))
        assert torch.equal(lse, torch.full_like(lse, -torch.inf))
        grads = attention_backward(torch.ones_like(out), *inputs, lse, torch.zeros_like(lse), 1.0)
        assert [g.shape for g in grads] == [t.shape for t in inputs]
        assert not any(g.any() for g in grads)


def test_parts_of_one_softmax(device):
    """As in criss-cross attention: two sets of keys, of which one leaves out the query's own."""
    query, key, value = random_inputs((1, 2, 18, 40, 4, 6), device)
    grad = torch.randn(1, 2, 18, 6, device=device)
    parts = [(slice(0, 18), True), (slice(18, 40), False)]
    exact = doubles(query, key, value)
    logits = 0.7 * exact[0] @ exact[1].transpose(2, 3)
    itself = torch.eye(18, 40, dtype=torch.bool, device=device)
    expected = logits.masked_fill(itself, -torch.inf).softmax(3) @ exact[2]
    expected_grads = torch.autograd.grad(expected, exact, grad.double())

    results = [attention_forward(query, key[:, :, keys], value[:, :, keys], 0.7, alone) for keys, alone in parts]
    lse = torch.logaddexp(results[0][1], results[1][1])
    out = sum(out * (part - lse).exp()[..., None] for out, part in results)
    assert_equals_oracle(out, expected, torch.float32)
    delta = (grad * out).sum(3)
    grads = [attention_backward(grad, query, key[:, :, keys], value[:, :, keys], lse, delta, 0.7, alone)
             for keys, alone in parts]
    for actual, exact_grad in zip((grads[0][0] + grads[1][0], torch.cat([g[1] for g in grads], 2),
                                   torch.cat([g[2] for g in grads], 2)), expected_grads, strict=True):
        assert_equals_oracle(actual, exact_grad, torch.float32)
