import pytest
import torch

from mmseg_attn.ops import pixel_attention
from mmseg_attn.ops.pixel_attention import (
    dot_product_attention,
    softmax_attention,
    softmax_weights,
    tiled_softmax_attention,
)
from tests.naive import non_local as naive


def _inputs(num_queries, num_keys, width, value_width, dtype=torch.float64):
    shapes = (num_queries, width), (num_keys, width), (num_keys, value_width)
    return [torch.randn(2, *shape, dtype=dtype, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize(('width', 'value_width'), [(4, 4), (3, 7), (7, 3), (1, 1)])
@pytest.mark.parametrize(('num_queries', 'num_keys'), [(6, 6), (5, 3), (1, 1)])
@pytest.mark.parametrize('mode', ['gaussian', 'dot_product'])
def test_equals_the_loops(mode, num_queries, num_keys, width, value_width):
    query, key, value = _inputs(num_queries, num_keys, width, value_width)
    if mode == 'gaussian':
        out = softmax_attention(query, key, value, scale=0.7)
    else:
        out = dot_product_attention(query, key, value)
    for b in range(2):
        expected = naive.attend(naive.weights(query[b].detach(), key[b].detach(), mode, scale=0.7), value[b].detach())
        torch.testing.assert_close(out[b], expected)


@pytest.mark.parametrize('attention', [softmax_attention, dot_product_attention])
@pytest.mark.parametrize(('width', 'value_width'), [(3, 3), (2, 5), (5, 2)])
def test_gradients(attention, width, value_width):
    assert torch.autograd.gradcheck(attention, _inputs(5, 4, width, value_width))


def test_weights_are_those_of_the_attention():
    query, key, value = _inputs(5, 4, 3, 3)
    torch.testing.assert_close(softmax_weights(query, key, 0.7) @ value, softmax_attention(query, key, value, 0.7))


@pytest.mark.parametrize(('width', 'value_width'), [(8, 8), (4, 8), (8, 4)])
def test_many_pixels_take_another_path_to_the_same_values(width, value_width):
    query, key, value = _inputs(300, 290, width, value_width)
    inputs = query, key, value
    expected = softmax_weights(query, key, 0.7) @ value
    out = softmax_attention(query, key, value, 0.7)
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    torch.testing.assert_close(torch.autograd.grad(out, inputs, cotangent),
                               torch.autograd.grad(expected, inputs, cotangent))


@pytest.mark.parametrize('tile', [1, 12, 40], ids=['a row', 'rows of an image', 'images'])
@pytest.mark.parametrize('keys', [1, 2, 5])
def test_tiles_of_any_size_join_to_the_same_values(monkeypatch, tile, keys):
    monkeypatch.setattr(pixel_attention, 'MAX_TILE_ELEMENTS', tile)
    monkeypatch.setattr(pixel_attention, 'MAX_TILE_KEYS', keys)
    inputs = [torch.randn(3, *shape, dtype=torch.float64, requires_grad=True) for shape in ((7, 3), (5, 3), (5, 4))]
    out, log_sum = tiled_softmax_attention(*inputs, 0.7)
    expected, expected_log_sum = pixel_attention._reference(*inputs, 0.7)
    torch.testing.assert_close((out, log_sum), (expected, expected_log_sum))
    cotangents = torch.randn_like(out), torch.randn_like(log_sum)
    torch.testing.assert_close(torch.autograd.grad((out, log_sum), inputs, cotangents),
                               torch.autograd.grad((expected, expected_log_sum), inputs, cotangents))


def test_blocks_of_keys_that_weigh_nothing(monkeypatch):
    """Beside logits of hundreds, whose exponentials no number holds."""
    monkeypatch.setattr(pixel_attention, 'MAX_TILE_KEYS', 2)
    inputs = [(40 * torch.randn(1, *shape, dtype=torch.float64)).requires_grad_() for shape in ((7, 3), (9, 3), (9, 4))]
    ours, expected = tiled_softmax_attention(*inputs, 1.0)[0], pixel_attention._reference(*inputs, 1.0)[0]
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(*(torch.autograd.grad(out.square().sum(), inputs) for out in (ours, expected)))


@pytest.mark.parametrize('autocast', [True, False])
def test_dot_products_of_many_pixels_do_not_overflow_in_half_precision(autocast):
    """Their sum over the keys does, before it is divided by the number of these."""
    query, key, value = (8 + torch.rand(1, size, 3).half() for size in (5, 2001, 2001))
    with torch.autocast('cpu', torch.float16, enabled=autocast):
        out = dot_product_attention(query, key, value)
    expected = dot_product_attention(*(t.double() for t in (query, key, value)))
    assert out.dtype == torch.float16
    torch.testing.assert_close(out.double(), expected, rtol=2e-3, atol=0)


def test_no_queries():
    query, key, value = _inputs(0, 5, 3, 4)
    out, log_sum = tiled_softmax_attention(query, key, value, 1.0)
    assert (out.shape, log_sum.shape) == ((2, 0, 4), (2, 0))
    out.sum().backward()
    assert not key.grad.any()
