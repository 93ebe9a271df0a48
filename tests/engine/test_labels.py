import numpy as np
import pytest

from mmseg_attn.engine.labels import has_other_labels


@pytest.mark.parametrize('dtype', [np.uint8, np.int32, np.int64])
@pytest.mark.parametrize(('values', 'num_classes', 'ignored', 'expected'), [
    ([0, 1, 2], 3, 255, False), ([0, 2, 255], 3, 255, False), ([255], 3, 255, False), ([0, 3], 3, 255, True),
    ([0, 254, 255], 3, 255, True), ([0, 255], 3, None, True), ([0, 1], 3, None, False),
    ([0, 1, 2], 3, 0, False), ([0, 3], 3, 0, True), ([], 3, 255, False), ([-1, 0], 3, 255, True),
    ([-1, 0], 3, -1, False), ([-100, 1], 3, -100, False), ([-100, -1], 3, -100, True), ([2**31 - 1], 3, 255, True)])
def test_what_is_neither_a_class_nor_ignored(dtype, values, num_classes, ignored, expected):
    array = np.array(values).astype(dtype)
    if not np.array_equal(array, values):
        pytest.skip(f'{np.dtype(dtype)} cannot hold them')
    for label in (array, np.repeat(array, 2)[::2]):  # also one that is not contiguous
        assert has_other_labels(label, num_classes, ignored) is expected
