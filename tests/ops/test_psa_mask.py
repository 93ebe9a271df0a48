import pytest
import torch

from mmseg_attn.ops.psa_mask import relative_to_absolute
from tests.naive import psanet as naive

SIZES = [((3, 4), (5, 7)), ((3, 4), (3, 3)), ((3, 4), (9, 9)), ((1, 4), (3, 5)), ((1, 1), (3, 3)), ((4, 1), (4, 6)),
         ((2, 3), (8, 6)), ((5, 2), (1, 1))]


@pytest.mark.parametrize(('size', 'mask_size'), SIZES, ids=str)
def test_equals_the_loops(size, mask_size):
    logits = torch.randn(2, *size, mask_size[0] * mask_size[1], dtype=torch.float64)
    expected = torch.stack([naive.relative_to_absolute(image, mask_size) for image in logits])
    assert torch.equal(relative_to_absolute(logits, mask_size), expected)


@pytest.mark.parametrize(('size', 'mask_size'), SIZES, ids=str)
def test_gradients_equal_those_of_the_loops(size, mask_size):
    logits = torch.randn(1, *size, mask_size[0] * mask_size[1], dtype=torch.float64, requires_grad=True)
    cotangent = torch.randn(size[0] * size[1], size[0] * size[1], dtype=torch.float64)
    ours, = torch.autograd.grad(relative_to_absolute(logits, mask_size)[0], logits, cotangent)
    expected, = torch.autograd.grad(naive.relative_to_absolute(logits[0], mask_size), logits, cotangent)
    assert torch.equal(ours, expected)


@pytest.mark.parametrize('mask_size', [(5, 7), (3, 3), (7, 9)], ids=str)
def test_strides_and_offsets_of_the_input_do_not_matter(mask_size):
    stored = torch.randn(3, mask_size[0] * mask_size[1], 3, 4)
    logits = stored.permute(0, 2, 3, 1)
    expected = relative_to_absolute(logits.contiguous(), mask_size)
    assert torch.equal(relative_to_absolute(logits, mask_size), expected)
    assert torch.equal(relative_to_absolute(logits.contiguous()[1:], mask_size), expected[1:])
