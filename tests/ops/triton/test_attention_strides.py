"""The attention kernel on views, and where logits are large. A file of its own, so that it runs beside the other."""

import pytest
import torch

from mmseg_attn.ops.triton.attention import attention_forward

from .attention_checks import attention_oracle, check_attention, doubles, random_inputs

# The quick tests compare each kernel with PyTorch's operators in test_dispatch.py.
pytestmark = pytest.mark.slow


def _maps(memory_format, device):
    query, key, value = (torch.randn(2, channels, 2, 3, device=device).contiguous(memory_format=memory_format)
                         for channels in (5, 5, 8))
    grad = torch.randn(2, 8, 2, 3, device=device).contiguous(memory_format=memory_format)
    return query, key, value, grad


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize('order', [(0, 2, 3, 1), (0, 3, 2, 1)], ids=['rows', 'columns'])
def test_strides_of_views_of_maps(memory_format, order, device):
    *inputs, grad = (t.permute(order) for t in _maps(memory_format, device))
    check_attention(inputs, grad)


def test_strides_of_slices_and_of_an_expanded_gradient(device):
    inputs = [t[:, 1:, 2:, 3:] for t in random_inputs((2, 2, 9, 21, 8, 10), device)]
    check_attention(inputs, torch.full((), 0.3, device=device).expand(2, 1, 7, 7))


@pytest.mark.parametrize('scale', [-0.5, 40.0])
def test_scale_of_either_sign_and_logits_beyond_the_range_of_exp(scale, device):
    inputs = random_inputs((1, 1, 30, 20, 16, 8), device)
    assert not torch.isfinite((40 * inputs[0] @ inputs[1].transpose(2, 3)).exp()).all()
    exact = doubles(*inputs)
    expected, _ = attention_oracle(*exact, scale)
    out, _ = attention_forward(*inputs, scale)
    # Rounding of the logits, up to some 500, is what the exponential makes of it.
    torch.testing.assert_close(out.double(), expected, rtol=1e-3, atol=1e-3)
