"""The operators with the kernels underneath give what they give without."""

import pytest
import torch

from mmseg_attn.ops import triton
from mmseg_attn.ops.carafe import carafe
from mmseg_attn.ops.criss_cross import criss_cross_attention
from mmseg_attn.ops.message_passing import pass_messages
from mmseg_attn.ops.pixel_attention import tiled_softmax_attention


def _softmax_attention(query, key, value):
    return tiled_softmax_attention(query, key, value, 0.7)


CASES = {
    'pixel_attention': (_softmax_attention, [(2, 19, 6), (2, 23, 6), (2, 23, 9)]),
    'criss_cross': (criss_cross_attention, [(2, 5, 3, 7), (2, 5, 3, 7), (2, 6, 3, 7)]),
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
