import pytest
import torch

from mmseg_attn.ops import psa
from mmseg_attn.ops.psa import point_attention, row_wise_point_attention


@pytest.mark.parametrize('collect', [True, False])
@pytest.mark.parametrize('softmax', [True, False])
@pytest.mark.parametrize('mask_size', [(13, 17), (5, 7), (1, 1), (4, 6), (21, 3), (2, 31), ()], ids=str)
@pytest.mark.parametrize(('size', 'rows'), [((7, 9), 1), ((7, 9), 2), ((7, 9), 3), ((7, 9), 7), ((1, 5), 1),
                                            ((6, 1), 4), ((6, 1), 6), ((1, 1), 1)], ids=str)
def test_row_by_row_is_the_whole_map(monkeypatch, size, rows, mask_size, collect, softmax):
    monkeypatch.setitem(psa.MAX_TILE_ELEMENTS, 'cpu', rows * size[0] * size[1]**2)
    positions = mask_size[0] * mask_size[1] if mask_size else size[0] * size[1]
    tensors = [torch.randn(2, *size, 3), torch.randn(positions, 3), torch.randn(2, *size, 4)]
    ours, expected = ([t.double().requires_grad_() for t in tensors] for _ in range(2))
    outs = row_wise_point_attention(*ours, mask_size, collect, softmax)
    wholes = psa._reference(*expected, mask_size, collect, softmax)
    torch.testing.assert_close(outs, wholes)
    factors = [torch.randn_like(out) for out in outs]
    # Without a softmax there is no log_sum to learn from.
    for results in outs, wholes:
        sum((out * factor).sum() for out, factor in zip(results[:1 + softmax], factors, strict=False)).backward()
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize('compact', [True, False])
def test_the_size_decides_only_how_it_is_computed(monkeypatch, compact):
    mask_size = None if compact else (5, 9)
    tensors = torch.randn(2, 3, 4, 5), torch.randn(20 if compact else 45, 3), torch.randn(2, 6, 4, 5)
    whole = point_attention(*tensors, mask_size, collect=False)
    monkeypatch.setattr(psa, 'MAX_DENSE_PIXELS', {})
    torch.testing.assert_close(point_attention(*tensors, mask_size, collect=False), whole)


@pytest.mark.parametrize('mask_size', [(3, 5), ()], ids=str)
@pytest.mark.parametrize('collect', [True, False])
def test_any_memory_layout(collect, mask_size):
    shapes = (2, 3, 4, 5), (15 if mask_size else 12, 5), (2, 3, 4, 2)
    dense = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    transposed = [t.detach().mT.contiguous().mT.requires_grad_() for t in dense]
    outs = [row_wise_point_attention(*tensors, mask_size, collect, True)[0] for tensors in (dense, transposed)]
    torch.testing.assert_close(*outs)
    grads = [torch.autograd.grad(out.square().sum(), tensors)
             for out, tensors in zip(outs, (dense, transposed), strict=True)]
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize('collect', [True, False])
def test_products_of_halves_as_on_a_gpu(monkeypatch, collect, dtype):
    """The softmax and the sums over rows stay in float32: only products are rounded."""
    monkeypatch.setattr(psa, '_for_products', lambda x: x)
    monkeypatch.setitem(psa.MAX_TILE_ELEMENTS, 'cpu', 2 * 6 * 7**2)
    tensors = [t.to(dtype) for t in (torch.randn(1, 6, 7, 3), torch.randn(11 * 13, 3), torch.randn(1, 6, 7, 4))]
    ours, expected = ([t.detach().to(to).requires_grad_() for t in tensors]
                      for to in (dtype, torch.float64))
    outs = row_wise_point_attention(*ours, (11, 13), collect, True)
    wholes = psa._reference(*expected, (11, 13), collect, True)
    assert [out.dtype for out in outs] == [dtype, torch.float32]
    tolerance = dict(rtol=0, atol=4 * torch.finfo(dtype).eps)
    for out, whole in zip(outs, wholes, strict=True):
        torch.testing.assert_close(out.double() / whole.abs().max(), whole / whole.abs().max(), **tolerance)
        out.float().sum().backward(retain_graph=True)
        whole.sum().backward(retain_graph=True)
    for a, b in zip(ours, expected, strict=True):
        assert a.grad.dtype == dtype
        torch.testing.assert_close(a.grad.double() / b.grad.abs().max(), b.grad / b.grad.abs().max(), **tolerance)


@torch.no_grad()
def test_the_softmax_of_half_logits_is_in_float32(monkeypatch):
    monkeypatch.setattr(psa, '_for_products', lambda x: x)
    tensors = [t.bfloat16() for t in (4 * torch.randn(1, 6, 7, 3), torch.randn(11 * 13, 3), torch.randn(1, 6, 7, 4))]
    log_sum = row_wise_point_attention(*tensors, (11, 13), True, True)[1]
    torch.testing.assert_close(log_sum, psa._reference(*tensors, (11, 13), True, True)[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('collect', [True, False])
def test_gradients_of_halves_are_summed_in_float32(monkeypatch, collect):
    """Of 60 rows that add to the same sums, each less than what bfloat16 can add to them."""
    monkeypatch.setattr(psa, '_for_products', lambda x: x)
    monkeypatch.setitem(psa.MAX_TILE_ELEMENTS, 'cpu', 1)
    tensors = [t.bfloat16() for t in (torch.rand(1, 60, 3, 2), torch.randn(3 * 5, 2) / 9, torch.rand(1, 60, 3, 4))]
    ours, expected = ([t.detach().to(to).requires_grad_() for t in tensors] for to in (torch.bfloat16, torch.float64))
    row_wise_point_attention(*ours, (3, 5), collect, False)[0].sum().backward()
    psa._reference(*expected, (3, 5), collect, False)[0].sum().backward()
    for a, b in zip(ours, expected, strict=True):
        error = (a.grad - b.grad).abs().max() / b.grad.abs().max()
        assert error < 1.5 * torch.finfo(torch.bfloat16).eps
