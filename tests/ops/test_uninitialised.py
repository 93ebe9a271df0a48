"""The tests see memory that an operation allocates and leaves as it is (tests/conftest.py)."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from mmseg_attn.ops import criss_cross

ALLOCATIONS = {
    'empty': lambda like: torch.empty(like.shape, dtype=like.dtype),
    'empty_like': lambda like: torch.empty_like(like),  # looked up in the test
    'empty_strided': lambda like: torch.empty_strided(like.shape, like.stride(), dtype=like.dtype),
    'new_empty': lambda like: like.new_empty(like.shape),
    'new_empty_strided': lambda like: like.new_empty_strided(like.shape, like.stride()),
}


@pytest.mark.parametrize('name', ALLOCATIONS)
def test_no_memory_looks_like_a_result(name):
    for dtype in torch.float32, torch.float16, torch.complex64:
        assert ALLOCATIONS[name](torch.zeros(2, 3, dtype=dtype)).isnan().all()
    for dtype in torch.int64, torch.uint8:
        assert (ALLOCATIONS[name](torch.zeros(2, 3, dtype=dtype)) == torch.iinfo(dtype).max).all()
    assert ALLOCATIONS[name](torch.zeros(2, 3, dtype=torch.bool)).all()


@pytest.mark.parametrize('name', ALLOCATIONS)
def test_what_holds_no_numbers_is_left_alone(name):
    with FakeTensorMode():
        assert ALLOCATIONS[name](torch.zeros(2, 3)).shape == (2, 3)
    with torch.device('meta'):
        assert ALLOCATIONS[name](torch.zeros(2, 3)).is_meta


class _Allocating(torch.nn.Module):
    def forward(self, x):
        return sum(allocate(x).copy_(x) for allocate in ALLOCATIONS.values())


def test_an_export_has_no_filling():
    graph = torch.export.export(_Allocating(), (torch.zeros(2, 3),)).graph
    assert not [node for node in graph.nodes if 'fill' in str(node.target)]


def test_an_operator_that_leaves_out_a_part_is_seen(monkeypatch):
    def without_the_last_image(weights, x, out):
        if out.storage_offset() == 0:
            torch.bmm(weights[..., weights.shape[0]:], x, out=out)

    monkeypatch.setattr(criss_cross, '_weighted_sums', without_the_last_image)
    out, _ = criss_cross.criss_cross(*(torch.randn(2, 3, 4, 5) for _ in range(3)))
    assert out[0].isfinite().all()
    assert out[1].isnan().all()
