from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from mmseg_attn.attention.se import SE
from tests.attention.variants import CHANNELS, any_options
from tests.helpers import GOLDEN, assert_matches_golden
from tests.naive import se as naive

OFFICIAL = {'fc1': 'fc1', 'fc2': 'fc2'}
BLOCKS = {'': partial(SE, CHANNELS, reduction=4)}
HEADS = {}
WITHOUT_MAP = {'': 'its gate is one of channels'}


def layer(conv):
    return conv.weight[:, :, 0, 0], conv.bias


def oracle(block, x):
    return naive.squeeze_excitation(x[0], layer(block.fc1), layer(block.fc2), block.gate_scale)[None]


PROPERTIES = {'': any_options(SE, oracle, reduction=st.integers(1, 8), divisor=st.sampled_from([None, 1, 4]),
                              bias=st.booleans(), identity_start=st.booleans())}


def test_official_output_and_gradients(golden):
    official = golden('se_caffe_r16')
    block = SE(official['config']['channels'])
    assert_matches_golden(block, official, OFFICIAL)
    for case in official['cases']:
        torch.testing.assert_close(block.float()(case['input']), case['output'], **GOLDEN)


@pytest.mark.parametrize(('channels', 'divisor', 'hidden'), [
    (64, None, 4), (72, None, 4), (72, 8, 8), (256, 8, 16), (200, 8, 16), (8, None, 1), (8, 8, 8)])
def test_width_of_the_hidden_layer(channels, divisor, hidden):
    """With 8 what timm's make_divisible gives."""
    assert SE(channels, divisor=divisor).fc1.out_channels == hidden


def test_starts_as_the_identity_where_it_is_asked_to():
    x = torch.randn(2, 8, 5, 6)
    assert torch.equal(SE(8, identity_start=True)(x), x)
    assert not torch.equal(SE(8)(x), x)


def test_the_activation_is_that_of_the_argument():
    assert isinstance(SE(8, act_layer=nn.SiLU).act, nn.SiLU)


def test_bad_arguments():
    with pytest.raises(ValueError, match='reduction must be a positive integer, got 0'):
        SE(8, reduction=0)
