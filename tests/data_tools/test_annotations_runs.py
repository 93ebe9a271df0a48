"""Run-length encodings, against an encoder written here and texts that pycocotools wrote."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseg_attn.common.errors import UserError
from mmseg_attn.data_tools.annotations.runs import decompress, runs_of


def _compressed(counts: list[int]) -> str:
    """As pycocotools writes them."""
    text = ''
    for i, count in enumerate(counts):
        value, more = count - counts[i - 2] if i > 2 else count, True
        while more:
            bits, value = value & 31, value >> 5
            more = value != (-1 if bits & 16 else 0)
            text += chr(bits + 32 * more + 48)
    return text


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**9)))
def test_decompressing_is_the_inverse(counts):
    assert decompress(_compressed(counts), 'here') == counts


@pytest.mark.parametrize(('text', 'rows'), [
    ('01:2HNO012004', ['1000000', '0011110', '0010110', '0011110', '0000000'])])
def test_what_pycocotools_wrote(text, rows):
    counts = decompress(text, 'here')
    values = [character for i, count in enumerate(counts) for character in '01'[i % 2] * count]
    assert [''.join(values[row::5]) for row in range(5)] == rows


@pytest.mark.parametrize('text', ['0!', 'o', 'ooooooooooo', '0\x7f', 'é'])
def test_damaged_texts(text):
    with pytest.raises(UserError, match=r'^here: the compressed run lengths (are damaged at|end within)'):
        decompress(text, 'here')


def test_runs_that_fit():
    runs = runs_of([0, 4, 2], (5, 6, 3, 2), False, 'here')
    assert (runs.counts.tolist(), runs.counts.dtype, runs.box) == ([0, 4, 2], np.int64, (5, 6, 3, 2))


@pytest.mark.parametrize(('counts', 'message'), [
    ([0, 4, 1], 'a mask of 3 x 2 pixels: their sum is 5'), ([], 'their sum is 0'),
    ([7, -1], 'whole numbers from 0 to 6'),
    ([3.0, 3], 'some are no whole'), (['3', 3], 'some are no'), ([True, 5], 'some are no'), ([10**400], 'some are no')])
def test_runs_that_do_not_fit(counts, message):
    with pytest.raises(UserError, match=f'^here: .*{message}'):
        runs_of(counts, (0, 0, 3, 2), True, 'here')
