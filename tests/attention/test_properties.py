"""Every block with any options on maps of any size: what it computes, and that it does so for every image alone."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmseg_attn import attention
from tests.attention.blocks import PROPERTIES
from tests.helpers import randomize

PIXELS = 21  # the loops take the square of them


@st.composite
def _sizes(draw):
    """Heights and widths from 1, square, flat and tall."""
    long = draw(st.integers(1, 13))
    short = draw(st.integers(1, min(long, PIXELS // long)))
    return draw(st.permutations([long, short]))


def test_every_block_has_a_case():
    assert {case[0].__name__ for case in PROPERTIES.values()} == set(attention.__all__)


@pytest.mark.parametrize('times', [1, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize('name', PROPERTIES)
def test_an_image_alone_gives_what_the_loops_give_and_so_it_does_in_a_batch(name, times):
    cls, oracle, examples, options = PROPERTIES[name]

    # On a busy machine the drawing alone may take as long as hypothesis finds suspicious.
    @settings(max_examples=times * examples, derandomize=True, deadline=None, database=None,
              suppress_health_check=[HealthCheck.too_slow])
    @given(size=_sizes(), batch=st.integers(1, 3), options=options)
    def check(size, batch, options):
        if options.get('compact'):
            options['mask_size'] = tuple(-(-side // options['shrink_factor']) for side in size)
        torch.manual_seed(0)
        block = randomize(cls(**options)).double().eval()
        x = torch.randn(batch, options['channels'], *size, dtype=torch.float64)
        with torch.no_grad():
            out = block(x)
            assert out.shape == x.shape
            assert out.isfinite().all()
            torch.testing.assert_close(out[-1:], block(x[-1:]))
            torch.testing.assert_close(out[:1], oracle(block, x[:1]))

    check()
