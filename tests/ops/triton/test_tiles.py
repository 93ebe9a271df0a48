import pytest

from mmseg_attn.ops.triton.tiles import (
    FORWARD,
    LOGITS_BACKWARD,
    Limits,
    candidates,
    forward_shape,
    logits_shape,
    power_of_two,
    shared_memory,
)

KERNELS = {'forward': (FORWARD, forward_shape), 'logits': (LOGITS_BACKWARD, logits_shape)}
A100, RTX30, H100, RTX50 = (Limits(*numbers) for numbers in
                            ((166912, 108, 8), (101376, 82, 8), (232448, 132, 9), (101376, 170, 12)))


def _candidates(kernel, d, e, itemsize, limits, num_rows=2**13, num_matrices=2**8):
    table, shape_of = KERNELS[kernel]
    return candidates(table[itemsize], shape_of, num_rows, num_matrices, d, e, itemsize, limits)


def test_widths_of_blocks():
    assert [power_of_two(width) for width in (1, 16, 17, 64, 65, 300)] == [16, 16, 32, 64, 128, 512]
    shape = logits_shape(LOGITS_BACKWARD[2][0], 300, 512, 2)
    assert shape == (((300, 128), (512, 512)), 300, 256)
    assert forward_shape(FORWARD[4][0], 65, 20, 4) == (((65, 32),), 20, 32)


@pytest.mark.parametrize(('kernel', 'widths', 'itemsize', 'limits', 'place'), [
    ('forward', (64, 512), 2, H100, 0), ('forward', (64, 512), 2, A100, 0), ('forward', (64, 512), 2, RTX30, 1),
    ('forward', (256, 256), 2, H100, 1), ('forward', (256, 512), 2, A100, 1), ('forward', (256, 256), 2, RTX50, 3),
    ('logits', (64, 512), 2, H100, 0), ('logits', (64, 512), 2, A100, 1), ('logits', (64, 512), 2, RTX30, 3),
    ('logits', (256, 512), 2, H100, 2), ('logits', (64, 512), 4, RTX30, 1), ('logits', (64, 64), 4, RTX30, 1),
    ('logits', (64, 512), 4, A100, 0),
])
def test_the_first_that_fits(kernel, widths, itemsize, limits, place):
    table = KERNELS[kernel][0][itemsize]
    found = _candidates(kernel, *widths, itemsize, limits)
    assert found[0] == table[place]
    assert set(found) <= set(table[place:])
    assert found[-1] == table[-1]


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('itemsize', [2, 4])
def test_all_are_tried_where_nothing_is_known(kernel, itemsize):
    table = KERNELS[kernel][0][itemsize]
    for limits in Limits(), Limits(2**10, 1, 10), Limits(None, 1, 8):
        assert _candidates(kernel, 64, 64, itemsize, limits) == table
    assert _candidates(kernel, 64, 64, itemsize, Limits(2**10, 1, 8)) == table[-1:]


@pytest.mark.parametrize(('num_rows', 'most'), [(1, 16), (16, 16), (129, 64), (200, 128), (2**13, 128)])
def test_a_small_map_takes_tiles_of_few_rows(num_rows, most):
    assert _candidates('forward', 64, 64, 2, Limits(), num_rows)[0].rows == most


@pytest.mark.parametrize(('kernel', 'e', 'itemsize', 'num_rows', 'num_matrices', 'rows'), [
    ('forward', 256, 2, 64 * 128, 1, 64),      # 64 programs of 128 rows for 132 multiprocessors
    ('forward', 256, 2, 64 * 128, 2, 128),     # 128 of them: nearly all are busy
    ('forward', 512, 2, 97 * 97, 1, 64),       # 148: a second round for 16, or three rounds of half the rows
    ('forward', 512, 2, 64 * 128, 2, 128),     # 256
    ('forward', 512, 2, 97 * 97, 2, 128),      # 296, more than twice as many as multiprocessors
    ('forward', 512, 2, 97, 97, 64),           # 97 rows are no 128 anyway
    ('forward', 64, 2, 20 * 20, 1, 64),        # fewer than 64 are not taken
    ('logits', 512, 2, 64 * 128, 1, 64),
    ('logits', 512, 4, 64 * 128, 1, 64),
    ('logits', 512, 4, 64 * 128, 2, 128),
])
def test_small_grids_take_tiles_of_fewer_rows(kernel, e, itemsize, num_rows, num_matrices, rows):
    assert _candidates(kernel, 64, e, itemsize, H100, num_rows, num_matrices)[0].rows == rows


def test_tiles_of_a_small_grid_fit_as_well():
    first, *others = _candidates('logits', 64, 512, 2, H100, 64 * 128, 1)
    assert (first.rows, first.step, first.num_warps) == (64, 32, 8)
    for tiles in first, *others:
        assert shared_memory(tiles, logits_shape(tiles, 64, 512, 2), 2, 9) <= H100.shared_memory
