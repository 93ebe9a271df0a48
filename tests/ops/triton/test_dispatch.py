"""The operators with the kernels underneath give what they give without."""

import pytest
import torch

from mmseg_attn.ops import triton
from mmseg_attn.ops.carafe import carafe, reassemble, reassemble_backward
from mmseg_attn.ops.criss_cross import criss_cross, criss_cross_attention, criss_cross_backward
from mmseg_attn.ops.message_passing import pass_messages, sample_and_sum, sample_and_sum_backward
from mmseg_attn.ops.pixel_attention import tiled_softmax_attention, tiled_softmax_attention_backward


def _softmax_attention(query, key, value):
    return tiled_softmax_attention(query, key, value, 0.7)


CASES = {
    'pixel_attention': (_softmax_attention, [(2, 19, 6), (2, 23, 6), (2, 23, 9)]),
    # Of widths that need no padding, which are read where they lie.
    'criss_cross': (criss_cross_attention, [(2, 16, 3, 7), (2, 16, 3, 7), (2, 32, 3, 7)]),
    'criss_cross-one-row': (criss_cross_attention, [(1, 5, 1, 7), (1, 5, 1, 7), (1, 6, 1, 7)]),
    'criss_cross-one-pixel': (criss_cross_attention, [(1, 5, 1, 1), (1, 5, 1, 1), (1, 6, 1, 1)]),
    'carafe': (lambda x, masks: carafe(x, masks, 3, 2, 2), [(2, 4, 3, 5), (2, 18, 6, 10)]),
    'message_passing': (pass_messages, [(2, 4, 5, 7), (2, 9, 2, 5, 7), (2, 2, 9, 5, 7)]),
}


def _results(function, tensors):
    tensors = [t.detach().requires_grad_() for t in tensors]
    outs = function(*tensors)
    outs = outs if isinstance(outs, tuple) else (outs, )
    torch.manual_seed(1)
    sum((out * torch.randn_like(out)).sum() for out in outs).backward()
    return [*outs, *(t.grad for t in tensors)]


def _strides(x):
    return [stride for stride, size in zip(x.stride(), x.shape, strict=True) if size > 1]


@pytest.mark.parametrize('name', CASES)
def test_kernels_stand_in_for_plain_torch(name, device, monkeypatch):
    torch.manual_seed(0)
    function, shapes = CASES[name]
    tensors = [torch.randn(shape, device=device) for shape in shapes]
    assert triton.available(tensors[0])
    found = _results(function, tensors)
    monkeypatch.setattr(triton, 'available', lambda tensor: False)
    for ours, expected in zip(found, _results(function, tensors), strict=True):
        assert _strides(ours) == _strides(expected)
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


OPERATORS = {
    'pixel_attention': (tiled_softmax_attention, [(2, 9, 6), (2, 13, 6), (2, 13, 5)], (0.7,)),
    'pixel_attention-backward': (
        tiled_softmax_attention_backward, [(2, 9, 5), (2, 9, 6), (2, 13, 6), (2, 13, 5), (2, 9), (2, 9)], (0.7,)),
    'criss_cross': (criss_cross, [(2, 3, 4, 5), (2, 3, 4, 5), (2, 3, 4, 6)], ()),
    'criss_cross-backward': (
        criss_cross_backward, [(2, 3, 4, 6), *[(2, 3, 4, 5)] * 2, (2, 3, 4, 6), *[(2, 3, 4)] * 2], ()),
    'carafe': (reassemble, [(2, 4, 3, 5), (2, 18, 6, 10)], (3, 2, 2)),
    'carafe-backward': (reassemble_backward, [(2, 4, 6, 10), (2, 4, 3, 5), (2, 18, 6, 10)], (3, 2, 2)),
    'message_passing': (sample_and_sum, [(2, 4, 3, 5), (2, 9, 2, 3, 5), (2, 2, 9, 3, 5)], ()),
    'message_passing-backward': (
        sample_and_sum_backward, [*[(2, 4, 3, 5)] * 2, (2, 9, 2, 3, 5), (2, 2, 9, 3, 5)], ()),
}


SLOWLY_INTERPRETED = 'criss_cross-backward', 'message_passing', 'message_passing-backward'


@pytest.mark.slow
@pytest.mark.parametrize('name', [
    pytest.param(name, marks=pytest.mark.slow if name in SLOWLY_INTERPRETED else ()) for name in OPERATORS])
def test_a_compiler_is_told_the_true_shapes_and_strides(name, device):
    function, shapes, options = OPERATORS[name]
    dense = [torch.randn(shape, device=device) for shape in shapes]
    for tensors in dense, [t.mT.contiguous().mT for t in dense]:
        torch.library.opcheck(function, (*tensors, *options), test_utils=('test_schema', 'test_faketensor'))


def test_the_only_kernel_with_atomic_operations_is_not_used_where_results_must_be_deterministic(device, monkeypatch):
    from mmseg_attn.ops.triton import message_passing

    def atomic(*args):
        raise AssertionError('used')

    monkeypatch.setattr(message_passing, 'message_passing_backward', atomic)
    tensors = [torch.randn(shape, device=device, requires_grad=True) for shape in CASES['message_passing'][1]]
    loss = pass_messages(*tensors).sum()
    with pytest.raises(AssertionError, match='used'):
        torch.autograd.grad(loss, tensors, retain_graph=True)
    torch.use_deterministic_algorithms(True)
    try:
        gradients = torch.autograd.grad(loss, tensors)
    finally:
        torch.use_deterministic_algorithms(False)
    assert [g.shape for g in gradients] == [t.shape for t in tensors]
