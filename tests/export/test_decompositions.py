import pytest
import torch
import torch.nn.functional as F

from mmseg_attn.export.decompositions import adaptive_avg_pool2d, searchsorted


@pytest.mark.parametrize('size', [(1, 1), (5, 13), (12, 6), (31, 7)], ids=str)
@pytest.mark.parametrize('cells', [(1, 1), (2, 2), (3, 6), (6, 4)], ids=str)
def test_adaptive_average_pooling(size, cells):
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(adaptive_avg_pool2d(x, cells), F.adaptive_avg_pool2d(x, cells))


@pytest.mark.parametrize('options', [{}, dict(right=True), dict(side='right'), dict(out_int32=True)], ids=str)
def test_searchsorted(options):
    boundaries = torch.randint(0, 9, (3, 7)).double().sort(dim=1).values
    x = torch.randint(-1, 10, (3, 11)).double()
    assert torch.equal(searchsorted(boundaries, x, **options), torch.searchsorted(boundaries, x, **options))
