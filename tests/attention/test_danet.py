from functools import partial

import pytest
import torch

from mmseg_attn.attention.danet import ChannelAttention, PositionAttention, channel_weights
from tests.attention.oracles import pixels, unflatten
from tests.attention.variants import CHANNELS, WIDTHS, any_options
from tests.helpers import assert_matches_golden, randomize
from tests.naive import danet as naive

PAM = {'query_conv': 'query', 'key_conv': 'key', 'value_conv': 'value', 'gamma': 'gamma'}
CAM = {'gamma': 'gamma'}
BLOCKS = {
    'position': partial(PositionAttention, CHANNELS),
    'channel': partial(ChannelAttention, CHANNELS),
}
WITHOUT_MAP = {'channel': 'its map is one of channels'}
HEADS = {'DAHead': [dict(), dict(pam_channels=3)]}


def position_oracle(block, x):
    weights = naive.position_weights(pixels(block.query(x)), pixels(block.key(x)))
    return block.gamma * unflatten(naive.attend(weights, pixels(block.value(x))), x) + x


def channel_oracle(block, x):
    features = x[0].flatten(1)
    return block.gamma * naive.attend(naive.channel_weights(features), features).view_as(x) + x


PROPERTIES = {
    'position': any_options(PositionAttention, position_oracle, key_channels=WIDTHS),
    'channel': any_options(ChannelAttention, channel_oracle),
}


@pytest.mark.parametrize(('name', 'block', 'names'), [('danet_pam', PositionAttention, PAM),
                                                      ('danet_cam', ChannelAttention, CAM)])
def test_official_output_and_gradients(golden, name, block, names):
    official = golden(name)
    assert_matches_golden(block(official['config']['in_dim']), official, names)


def test_position_attention_equals_the_loops():
    block = randomize(PositionAttention(6, key_channels=2)).double()
    x = torch.randn(2, 6, 3, 5, dtype=torch.float64)
    for image, expected in zip(x, block(x), strict=True):
        query, key, value = (conv(image[None])[0].flatten(1).T.detach()
                             for conv in (block.query, block.key, block.value))
        context = naive.attend(naive.position_weights(query, key), value).T.reshape(6, 3, 5)
        torch.testing.assert_close(block.gamma * context + image, expected)


def test_channel_attention_equals_the_loops():
    block = randomize(ChannelAttention(4)).double()
    x = 0.5 * torch.randn(2, 4, 3, 5, dtype=torch.float64)
    for image, expected in zip(x, block(x), strict=True):
        weights = naive.channel_weights(image.flatten(1))
        torch.testing.assert_close(channel_weights(image[None].flatten(2))[0], weights)
        context = naive.attend(weights, image.flatten(1)).reshape(4, 3, 5)
        torch.testing.assert_close(block.gamma * context + image, expected)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_the_gram_matrix_of_a_large_map_survives_autocast(dtype):
    x = torch.rand(1, 16, 200000).to(dtype)  # beyond the largest float16, 65504
    expected = channel_weights(x.double())
    with torch.autocast('cpu', dtype):
        weights = channel_weights(x)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.double(), expected, rtol=0, atol=0.1)


def test_widths_of_the_keys():
    assert PositionAttention(24).key.out_channels == 3
    assert PositionAttention(4).key.out_channels == 1
    assert PositionAttention(24, key_channels=5).query.out_channels == 5


def test_attention_map_rebuilds_the_context():
    block, x = randomize(PositionAttention(8)).double(), torch.randn(2, 8, 5, 6, dtype=torch.float64)
    points = torch.tensor([[0, 0], [4, 5], [2, 3]])
    weights = block.attention_map(x, points).flatten(2)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 3, dtype=torch.float64))
    context = torch.einsum('bpn,bcn->bcp', weights, block.value(x).flatten(2))
    out = block.gamma * context + x[:, :, points[:, 0], points[:, 1]]
    torch.testing.assert_close(out, block(x)[:, :, points[:, 0], points[:, 1]])


@pytest.mark.parametrize('block', [PositionAttention, ChannelAttention])
def test_starts_as_the_identity(block):
    x = torch.randn(2, 8, 5, 6)
    assert torch.equal(block(8)(x), x)
