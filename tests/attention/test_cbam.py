from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from mmseg_attn.attention.cbam import CBAM
from tests.attention.oracles import unflatten
from tests.attention.test_se import layer
from tests.attention.variants import CHANNELS, NORMS, any_options
from tests.helpers import GOLDEN, assert_matches_golden
from tests.naive import cbam as naive

OFFICIAL = {'ChannelGate.mlp.1': 'fc1', 'ChannelGate.mlp.3': 'fc2', 'SpatialGate.spatial.conv': 'spatial_conv',
            'SpatialGate.spatial.bn': 'spatial_norm'}
POOLS = ('avg', 'max', 'lp', 'lse')
BLOCKS = {
    '': partial(CBAM, CHANNELS, reduction=4),
    'four_pools': partial(CBAM, CHANNELS, reduction=4, pool_types=POOLS),
}
HEADS = {}
WITHOUT_MAP = dict.fromkeys(BLOCKS, 'its gates are products with the pixel itself')


def oracle(block, x):
    gated = naive.channel_gate(x[0], block.pool_types, layer(block.fc1), layer(block.fc2), block.gate_scale)
    if not block.has_spatial:
        return gated[None]
    conv = block.spatial_conv
    logits = naive.spatial_logits(gated, conv.weight[0]) + (0 if conv.bias is None else conv.bias)
    gate = block.spatial_norm(unflatten(logits.reshape(-1, 1), x)).sigmoid()
    return gated * block.gate_scale * gate


PROPERTIES = {'': any_options(
    CBAM, oracle, examples=6, reduction=st.integers(1, 4), no_spatial=st.booleans(), norm_layer=NORMS,
    pool_types=st.lists(st.sampled_from(POOLS), min_size=1, max_size=4, unique=True),
    kernel_size=st.sampled_from([1, 3, 7]), identity_start=st.booleans())}


def with_convs(state):
    """The official MLP has linear layers."""
    return {name: value[:, :, None, None] if '.mlp.' in name and value.ndim == 2 else value
            for name, value in state.items()}


@pytest.mark.parametrize('name', ['cbam_default', 'cbam_channel_only'])
def test_official_output_and_gradients(golden, name):
    official = golden(name)
    official['state_dict'] = with_convs(official['state_dict'])
    official['grad']['params'] = with_convs(official['grad']['params'])
    config = official['config']
    block = CBAM(config['gate_channels'], no_spatial=config['no_spatial'])
    assert_matches_golden(block, official, OFFICIAL)
    for case in official['cases']:
        torch.testing.assert_close(block.float()(case['input']), case['output'], **GOLDEN)


def test_starts_as_the_authors_networks_or_as_the_identity():
    x = torch.randn(2, 16, 5, 6)
    for norm_layer in nn.BatchNorm2d, None:
        assert torch.equal(CBAM(16, norm_layer=norm_layer, identity_start=True)(x), x)
    both, one = CBAM(16), CBAM(16, no_spatial=True)
    one.load_state_dict(both.state_dict(), strict=False)
    torch.testing.assert_close(both(x), one(x) / 2)


def test_a_map_of_zeros_has_finite_gradients():
    x = torch.zeros(1, 16, 3, 3, requires_grad=True)
    CBAM(16, pool_types=POOLS)(x).sum().backward()
    assert x.grad.isfinite().all()


def test_sums_of_large_maps_stay_finite_in_half_precision():
    """The root of the sum of squares would overflow in float16."""
    x = torch.full((1, 16, 40, 40), 30.0, dtype=torch.float16)
    with torch.autocast('cpu', torch.float16):
        assert CBAM(16, pool_types=['lp', 'lse'], no_spatial=True)(x).isfinite().all()


@pytest.mark.parametrize(('options', 'message'), [
    (dict(pool_types=['mean']), 'pool_types must be some of'), (dict(pool_types=[]), 'pool_types must be some of'),
    (dict(kernel_size=4), 'kernel_size must be odd, got 4'), (dict(reduction=-1), 'reduction must be a positive')])
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        CBAM(16, **options)
