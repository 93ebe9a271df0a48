from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from mmseg_attn.attention.bam import BAM
from tests.attention.variants import CHANNELS, NORMS, any_options
from tests.helpers import GOLDEN, assert_matches_golden
from tests.naive import bam as naive
from tests.naive.se import mean

CHANNEL, SPATIAL = 'channel_att.gate_c.gate_c_', 'spatial_att.gate_s.gate_s_'
OFFICIAL = {
    f'{CHANNEL}fc_0': 'channel_layers.0.conv', f'{CHANNEL}bn_1': 'channel_layers.0.norm',
    f'{CHANNEL}fc_final': 'channel_logit', f'{SPATIAL}conv_reduce0': 'spatial_layers.0.conv',
    f'{SPATIAL}bn_reduce0': 'spatial_layers.0.norm', f'{SPATIAL}conv_di_0': 'spatial_layers.1.conv',
    f'{SPATIAL}bn_di_0': 'spatial_layers.1.norm', f'{SPATIAL}conv_di_1': 'spatial_layers.2.conv',
    f'{SPATIAL}bn_di_1': 'spatial_layers.2.norm', f'{SPATIAL}conv_final': 'spatial_logit'}
BLOCKS = {'': partial(BAM, CHANNELS, reduction=4)}
HEADS = {}
WITHOUT_MAP = {'': 'its gate is a product with the pixel itself'}


def oracle(block, x):
    means = torch.tensor([mean(channel) for channel in x[0]], dtype=x.dtype)[None, :, None, None]
    channel = block.channel_logit(block.channel_layers(means))[0, :, 0, 0]
    spatial = block.spatial_logit(block.spatial_layers(x))[0, 0]
    return naive.gated(x[0], channel, spatial, block.identity_start)[None]


PROPERTIES = {'': any_options(
    BAM, oracle, reduction=st.integers(1, 4), num_layers=st.integers(1, 3), num_convs=st.integers(1, 3),
    dilation=st.integers(1, 4), norm_layer=NORMS, identity_start=st.booleans())}


def with_convs(state):
    """The official MLP has linear layers."""
    return {name: value[:, :, None, None] if '_fc_' in name and value.ndim == 2 else value
            for name, value in state.items()}


def test_official_output_and_gradients(golden):
    official = golden('cbam_bam_default')
    official['state_dict'] = with_convs(official['state_dict'])
    official['grad']['params'] = with_convs(official['grad']['params'])
    block = BAM(official['config']['gate_channel'])
    assert_matches_golden(block, official, OFFICIAL)
    for case in official['cases']:
        torch.testing.assert_close(block.float()(case['input']), case['output'], **GOLDEN)


def test_starts_as_the_identity_where_it_is_asked_to_and_trains_from_there():
    x = torch.randn(2, 16, 5, 6)
    block = BAM(16, identity_start=True)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.channel_logit.weight.grad.abs().sum() > 0
    assert not torch.equal(BAM(16)(x), x)


def test_a_batch_norm_of_one_image_says_why_it_cannot_train():
    with pytest.raises(ValueError, match='BatchNorm2d cannot train on one image'):
        BAM(16)(torch.randn(1, 16, 5, 6))
    BAM(16, norm_layer=None)(torch.randn(1, 16, 5, 6))
    BAM(16, reduction=4, norm_layer=lambda channels: nn.GroupNorm(1, channels))(torch.randn(1, 16, 5, 6))


def test_bad_arguments():
    with pytest.raises(ValueError, match='num_convs must be a positive integer, got 0'):
        BAM(16, num_convs=0)
