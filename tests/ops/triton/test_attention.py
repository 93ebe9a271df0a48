import pytest
import torch

from mmseg_attn.ops.triton import attention
from mmseg_attn.ops.triton.attention import Tiles, attention_backward, attention_forward

from .closeness import DTYPES, assert_equals_oracle


def _oracle(query, key, value, scale, exclude_itself=False):
    logits = scale * query @ key.transpose(2, 3)
    if exclude_itself:
        itself = torch.eye(*logits.shape[2:], dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(itself, -torch.inf)
    return logits.softmax(3) @ value, logits.logsumexp(3)


def _inputs(shape, device, dtype=torch.float32):
    a, b, n, m, d, e = shape
    return [torch.randn(a, b, rows, width).to(device, dtype) for rows, width in [(n, d), (m, d), (m, e)]]


def _double(*tensors):
    return [t.double().requires_grad_() for t in tensors]


def _check(inputs, grad, scale=0.4, exclude_itself=False):
    """Values and gradients, those of the backward from lse and delta of the forward."""
    exact = _double(*inputs)
    expected, expected_lse = _oracle(*exact, scale, exclude_itself)
    expected_grads = torch.autograd.grad(expected, exact, grad.double())
    out, lse = attention_forward(*inputs, scale, exclude_itself)
    delta = (grad.float() * out.float()).sum(3)
    grads = attention_backward(grad, *inputs, lse, delta, scale, exclude_itself)
    assert_equals_oracle(lse, expected_lse, torch.float32)
    assert_equals_oracle(out, expected, inputs[2].dtype)
    for actual, exact_grad, tensor in zip(grads, expected_grads, inputs, strict=True):
        assert_equals_oracle(actual, exact_grad, tensor.dtype)


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('shape', [(1, 2, 37, 45, 5, 7), (2, 1, 1, 70, 20, 1), (1, 1, 150, 3, 1, 65)], ids=str)
def test_equals_the_definition(shape, dtype, device):
    inputs = _inputs(shape, device, dtype)
    _check(inputs, torch.randn(*shape[:3], shape[5]).to(device, dtype))


@pytest.fixture
def _small_tiles(monkeypatch):
    """Several of everything in matrices of a few dozen numbers."""
    tiles = dict.fromkeys((2, 4), (Tiles(16, 16, 16, 16, 4, 2),))
    monkeypatch.setattr(attention, 'FORWARD', tiles)
    monkeypatch.setattr(attention, 'LOGITS_BACKWARD', tiles)
    for name in ('PIECE', 'WIDEST'):
        monkeypatch.setattr(attention, name, dict.fromkeys((2, 4), 16))


@pytest.mark.parametrize(('exclude_itself', 'dtype'), [(False, torch.float32), (True, torch.float16)], ids=str)
@pytest.mark.usefixtures('_small_tiles')
def test_widths_and_sides_of_several_tiles(exclude_itself, dtype, device):
    inputs = _inputs((1, 1, 20, 19, 37, 20), device, dtype)
    _check(inputs, torch.randn(1, 1, 20, 20).to(device, dtype), 0.2, exclude_itself)


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
def test_no_query_sees_itself(dtype, device):
    inputs = _inputs((1, 2, 19, 19, 6, 9), device, dtype)
    _check(inputs, torch.randn(1, 2, 19, 9).to(device, dtype), exclude_itself=True)


def test_a_query_without_keys(device):
    inputs = _inputs((2, 1, 1, 1, 3, 4), device)
    grad = torch.randn(2, 1, 1, 4, device=device)
    out, lse = attention_forward(*inputs, 1.0, exclude_itself=True)
    assert torch.equal(out, torch.zeros_like(out))
    assert torch.equal(lse, torch.full_like(lse, -torch.inf))
    for gradient in attention_backward(grad, *inputs, lse, torch.zeros_like(lse), 1.0, exclude_itself=True):
        assert torch.equal(gradient, torch.zeros_like(gradient))


def test_no_queries_or_no_keys(device):
    for shape in [(2, 1, 0, 5, 3, 4), (0, 1, 5, 5, 3, 4), (2, 1, 5, 0, 3, 4)]:
        inputs = _inputs(shape, device)
        out, lse = attention_forward(*inputs, 1.0)
        assert out.shape == (*shape[:3], 4)
        assert torch.equal(out, torch.zeros_like(out))
        assert torch.equal(lse, torch.full_like(lse, -torch.inf))
        grads = attention_backward(torch.ones_like(out), *inputs, lse, torch.zeros_like(lse), 1.0)
        assert [g.shape for g in grads] == [t.shape for t in inputs]
        assert not any(g.any() for g in grads)


def test_parts_of_one_softmax(device):
    """As in criss-cross attention: two sets of keys, of which one leaves out the query's own."""
    query, key, value = _inputs((1, 2, 18, 40, 4, 6), device)
    grad = torch.randn(1, 2, 18, 6, device=device)
    parts = [(slice(0, 18), True), (slice(18, 40), False)]
    exact = _double(query, key, value)
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


def _maps(memory_format, device):
    query, key, value = (torch.randn(2, channels, 2, 3, device=device).contiguous(memory_format=memory_format)
                         for channels in (5, 5, 8))
    grad = torch.randn(2, 8, 2, 3, device=device).contiguous(memory_format=memory_format)
    return query, key, value, grad


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize('order', [(0, 2, 3, 1), (0, 3, 2, 1)], ids=['rows', 'columns'])
def test_strides_of_views_of_maps(memory_format, order, device):
    *inputs, grad = (t.permute(order) for t in _maps(memory_format, device))
    _check(inputs, grad)


def test_strides_of_slices_and_of_an_expanded_gradient(device):
    inputs = [t[:, 1:, 2:, 3:] for t in _inputs((2, 2, 9, 21, 8, 10), device)]
    _check(inputs, torch.full((), 0.3, device=device).expand(2, 1, 7, 7))


@pytest.mark.parametrize('scale', [-0.5, 40.0])
def test_scale_of_either_sign_and_logits_beyond_the_range_of_exp(scale, device):
    inputs = _inputs((1, 1, 30, 20, 16, 8), device)
    assert not torch.isfinite((40 * inputs[0] @ inputs[1].transpose(2, 3)).exp()).all()
    exact = _double(*inputs)
    expected, _ = _oracle(*exact, scale)
    out, _ = attention_forward(*inputs, scale)
    # Rounding of the logits, up to some 500, is what the exponential makes of it.
    torch.testing.assert_close(out.double(), expected, rtol=1e-3, atol=1e-3)
