import pytest
import torch

from mmseg_attn.ops import psa
from mmseg_attn.ops.psa import point_attention, row_wise_point_attention


@pytest.mark.parametrize('collect', [True, False])
@pytest.mark.parametrize('softmax', [True, False])
@pytest.mark.parametrize('mask_size', [(13, 17), (5, 7), (1, 1), (4, 6), (21, 3), (2, 31), ()], ids=str)
@pytest.mark.parametrize('size', [(7, 9), (1, 5), (6, 1), (1, 1)], ids=str)
def test_row_by_row_is_the_whole_map(size, mask_size, collect, softmax):
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
