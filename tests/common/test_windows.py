"""Sliding windows lie where mmseg's do."""

import pytest

from mmseg_attn.common.windows import windows


def _as_in_mmseg(size, crop, stride):
    """mmseg.models.segmentors.EncoderDecoder.slide_inference, as a loop over its grid."""
    found = []
    grids = [max(s - c + st - 1, 0) // st + 1 for s, c, st in zip(size, crop, stride, strict=True)]
    for row in range(grids[0]):
        for column in range(grids[1]):
            ends = [min(i * st + c, s) for i, s, c, st in zip((row, column), size, crop, stride, strict=True)]
            starts = [max(end - c, 0) for end, c in zip(ends, crop, strict=True)]
            found.append(tuple(slice(*both) for both in zip(starts, ends, strict=True)))
    return found


@pytest.mark.parametrize('size', [(1, 1), (5, 9), (6, 6), (7, 20), (13, 6), (24, 23)])
@pytest.mark.parametrize(('crop', 'stride'), [((6, 6), (4, 4)), ((6, 8), (6, 3)), ((1, 1), (1, 1)), ((30, 30), (7, 7))])
def test_windows_are_those_of_mmseg(size, crop, stride):
    assert windows(size, crop, stride) == _as_in_mmseg(size, crop, stride)
