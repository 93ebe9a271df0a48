import numpy as np
import pytest
import torch

from mmseg_attn.explain.packing import pack
from tests.explain.unpacking import unpack


@pytest.mark.parametrize('signed', [False, True])
def test_values_err_by_half_a_step(signed):
    maps = torch.randn(15, 7, 9) * torch.logspace(-6, 3, 15)[:, None, None]
    maps = maps if signed else maps.abs()
    packed = pack(maps, per_row=5)
    values = unpack(packed.data, packed.peaks, packed.signed, 5).reshape(maps.shape)
    assert packed.signed is signed
    assert packed.steps == (127 if signed else 255)
    errors = np.abs(values - maps.numpy()).max(axis=(1, 2))
    assert (errors <= packed.peaks / packed.steps / 2 * 1.0001).all()
    assert errors.max() > 0
    np.testing.assert_allclose(np.abs(values).max(axis=(1, 2)), packed.peaks, rtol=1e-6)


def test_a_map_of_zeros():
    packed = pack(torch.stack([torch.zeros(3, 3), torch.ones(3, 3)]), per_row=2)
    assert (unpack(packed.data, packed.peaks, packed.signed, 2) == [[0.0] * 9, [1.0] * 9]).all()


def test_bytes_in_the_page():
    packed = pack(torch.rand(6, 5, 5), per_row=3)
    assert packed.num_bytes == 4 * ((len(packed.data) + 6 * 4 + 2) // 3)
