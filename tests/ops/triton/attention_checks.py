"""What the tests of the attention kernel compare with."""

import torch

from mmseg_attn.ops.triton.attention import attention_backward, attention_forward

from .closeness import assert_equals_oracle


def attention_oracle(query, key, value, scale, exclude_itself=False):
    logits = scale * query @ key.transpose(2, 3)
    if exclude_itself:
        itself = torch.eye(*logits.shape[2:], dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(itself, -torch.inf)
    return logits.softmax(3) @ value, logits.logsumexp(3)


def random_inputs(shape, device, dtype=torch.float32):
    a, b, n, m, d, e = shape
    return [torch.randn(a, b, rows, width).to(device, dtype) for rows, width in [(n, d), (m, d), (m, e)]]


def doubles(*tensors):
    return [t.double().requires_grad_() for t in tensors]


def check_attention(inputs, grad, scale=0.4, exclude_itself=False):
    """Values and gradients, those of the backward from lse and delta of the forward."""
    exact = doubles(*inputs)
    expected, expected_lse = attention_oracle(*exact, scale, exclude_itself)
    expected_grads = torch.autograd.grad(expected, exact, grad.double())
    out, lse = attention_forward(*inputs, scale, exclude_itself)
    delta = (grad.float() * out.float()).sum(3)
    grads = attention_backward(grad, *inputs, lse, delta, scale, exclude_itself)
    assert_equals_oracle(lse, expected_lse, torch.float32)
    assert_equals_oracle(out, expected, inputs[2].dtype)
    for actual, exact_grad, tensor in zip(grads, expected_grads, inputs, strict=True):
        assert_equals_oracle(actual, exact_grad, tensor.dtype)
