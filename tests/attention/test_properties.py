"""Every block with any options on maps of any size: what it computes, and that it does so for every image alone."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from mmseg_attn import attention
from tests.attention import oracles
from tests.helpers import randomize

PIXELS = 21  # the loops take the square of them
WIDTHS = st.integers(1, 4)
NORMS = st.sampled_from([nn.BatchNorm2d, None])


@st.composite
def _sizes(draw):
    """Heights and widths from 1, square, flat and tall."""
    long = draw(st.integers(1, 13))
    short = draw(st.integers(1, min(long, PIXELS // long)))
    return draw(st.permutations([long, short]))


def _case(block, oracle, *, examples=10, **options):
    return block, oracle, examples, st.fixed_dictionaries(dict(channels=st.integers(1, 6)) | options)


POOLS = st.lists(st.integers(1, 3), min_size=1, max_size=2)
FACTORS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=2)
CASES = {
    'a2net': _case(
        attention.DoubleAttention, oracles.double_attention, examples=6, value_channels=WIDTHS, num_maps=WIDTHS,
        fusion=st.sampled_from(['add', 'cat']), scale=st.integers(1, 3), norm_layer=NORMS),
    'apcnet': _case(
        attention.AdaptiveContext, oracles.adaptive_context, pool_scale=st.integers(1, 4), fusion=st.booleans(),
        norm_layer=NORMS),
    'ccnet': _case(
        attention.CrissCrossAttention, oracles.criss_cross, examples=6, key_channels=WIDTHS,
        recurrence=st.integers(1, 2)),
    'danet-position': _case(attention.PositionAttention, oracles.position_attention, key_channels=WIDTHS),
    'danet-channel': _case(attention.ChannelAttention, oracles.channel_attention),
    'dgmn': _case(
        attention.DynamicGraphMessagePassing, oracles.message_passing, examples=8, channels=st.just(4),
        rates=st.sampled_from([(1,), (2,), (3,)]), groups=st.integers(1, 2),
        mode=st.sampled_from(['deformatt', 'deform', 'none']), rigorous=st.booleans(),
        reduction=st.sampled_from([1, 2]), norm_layer=NORMS),
    'emanet': _case(
        attention.ExpectationMaximizationAttention, oracles.em_attention, num_bases=WIDTHS,
        num_stages=st.integers(1, 3), norm_layer=NORMS),
    'glore': _case(
        attention.GlobalReasoning, oracles.global_reasoning, num_nodes=WIDTHS, num_states=WIDTHS,
        normalize=st.booleans(), norm_layer=NORMS),
    'isanet': _case(
        attention.InterlacedSparseSelfAttention, oracles.interlaced, key_channels=WIDTHS, value_channels=WIDTHS,
        down_factors=FACTORS, value_bias=st.booleans(), mask_padding=st.booleans(), norm_layer=NORMS),
    'non_local': _case(
        attention.NonLocal, oracles.non_local_attention, key_channels=WIDTHS,
        mode=st.sampled_from(['embedded_gaussian', 'gaussian', 'dot_product', 'concatenation']),
        sub_sample=st.sampled_from([None, 'before', 'after']), norm_layer=NORMS),
    'ocnet-base': _case(
        attention.BaseObjectContext, oracles.base_object_context, key_channels=WIDTHS, value_channels=WIDTHS,
        sizes=POOLS, shared_query=st.booleans(), norm_layer=NORMS),
    'ocnet-pyramid': _case(
        attention.PyramidObjectContext, oracles.pyramid_object_context, key_channels=WIDTHS, value_channels=WIDTHS,
        scales=POOLS, norm_layer=NORMS),
    'ocnet-asp': _case(
        attention.ASPObjectContext, oracles.asp_object_context, branch_channels=WIDTHS, key_channels=WIDTHS,
        value_channels=WIDTHS, size=st.integers(1, 3), dilations=POOLS, shared_query=st.booleans(),
        context_conv=st.booleans(), norm_layer=NORMS),
    'psanet': _case(
        attention.PointwiseSpatialAttention, oracles.point_attention, mid_channels=WIDTHS,
        mask_size=st.sampled_from([(1, 1), (3, 5), (7, 3), (1, 25)]), compact=st.booleans(),
        psa_type=st.sampled_from(['collect', 'distribute', 'bi-direction']), shrink_factor=st.integers(1, 3),
        normalization_factor=st.sampled_from([1.0, 1.5, None]), psa_softmax=st.booleans(), norm_layer=NORMS),
}


def test_every_block_has_a_case():
    assert {case[0].__name__ for case in CASES.values()} == set(attention.__all__)


@pytest.mark.parametrize('times', [1, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize('name', CASES)
def test_an_image_alone_gives_what_the_loops_give_and_so_it_does_in_a_batch(name, times):
    cls, oracle, examples, options = CASES[name]

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
