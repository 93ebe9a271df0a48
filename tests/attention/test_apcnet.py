from functools import partial

import pytest
import torch
import torch.distributed as dist
from hypothesis import strategies as st
from torch import nn

from mmseg_attn.attention.apcnet import AdaptiveContext, adaptive_context, pool_cells, pooling_matrix
from mmseg_attn.attention.layers import check_pooled_batch
from mmseg_attn.checkpoints.sources.mmseg import APC_BLOCK as OFFICIAL
from mmseg_attn.ops import determinism
from tests.attention.variants import CHANNELS, NORMS, any_options
from tests.helpers import GOLDEN, randomize, rename
from tests.naive import apcnet as naive

POINTS = torch.tensor([[0, 0], [4, 5], [2, 3]])
BLOCKS = {
    '': partial(AdaptiveContext, CHANNELS),
    'scale_3': partial(AdaptiveContext, CHANNELS, pool_scale=3),
    'no_fusion': partial(AdaptiveContext, CHANNELS, pool_scale=6, fusion=False),
}
HEADS = {'APCHead': [dict(), dict(pool_scales=(2, 5), fusion=False)]}


def oracle(block, x):
    features, scale = block.in_conv(x), block.pool_scale
    cells = block.pooled_conv(naive.pool(x[0], scale).unflatten(1, (scale, scale))[None])
    mean = naive.pool(features[0], 1)[None, :, :, None]
    context = naive.adaptive_context(block.affinity(features + block.global_conv(mean))[0], cells[0].flatten(1))
    return block.fusion_conv((block.residual_conv(context[None]) + features).clamp(min=0))


PROPERTIES = {
    '': any_options(
        AdaptiveContext, oracle, pool_scale=st.integers(1, 4), fusion=st.booleans(), norm_layer=NORMS),
}


def test_context_equals_the_loops():
    logits, cells = torch.randn(2, 4, 3, 2, dtype=torch.float64), torch.randn(2, 3, 4, dtype=torch.float64)
    context = adaptive_context(logits, cells)
    for b in range(2):
        torch.testing.assert_close(context[b], naive.adaptive_context(logits[b], cells[b]))


@pytest.mark.parametrize('size', [(5, 7), (2, 9), (1, 1)], ids=str)
def test_pooling_matrices_equal_the_loops(size):
    x = torch.randn(3, *size, dtype=torch.float64)
    rows, columns = (pooling_matrix(s, 3, like=x) for s in size)
    torch.testing.assert_close((rows.T @ x @ columns).flatten(1), naive.pool(x, 3))


@pytest.mark.parametrize('fusion', [True, False])
@pytest.mark.parametrize('index', range(4))
def test_official_blocks(golden, fusion, index):
    official = golden('apcnet_head' if fusion else 'apcnet_head_nofusion')
    scale = (1, 2, 3, 6)[index]
    block = AdaptiveContext(24, out_channels=12, pool_scale=scale, fusion=fusion).eval()
    start = f'acm_modules.{index}.'
    weights = {k.removeprefix(start): v for k, v in official['state_dict'].items() if k.startswith(start)}
    block.load_state_dict(rename(weights, OFFICIAL))
    torch.testing.assert_close(block(official['input']), official['intermediates'][f'acm{index}_s{scale}'], **GOLDEN)


@pytest.mark.parametrize('pool_scale', [1, 2, 3, 6])
def test_attention_map_rebuilds_the_context(pool_scale):
    block, x = randomize(AdaptiveContext(8, pool_scale=pool_scale)), torch.randn(2, 8, 5, 7, dtype=torch.float64)
    # Without norm and activation the cells are means of pixels, which the map must reproduce.
    block.pooled_conv = nn.Sequential(block.pooled_conv.conv)
    block.double().eval()
    context = torch.einsum('bphw,bchw->bcp', block.attention_map(x, POINTS), block.pooled_conv(x))
    features = block.in_conv(x)[:, :, POINTS[:, 0], POINTS[:, 1]]
    out = block.fusion_conv((block.residual_conv(context[..., None])[..., 0] + features).relu()[..., None])[..., 0]
    torch.testing.assert_close(out, block(x)[:, :, POINTS[:, 0], POINTS[:, 1]])


def test_attention_map_is_not_normalised():
    block = AdaptiveContext(8, pool_scale=2)
    nn.init.zeros_(block.affinity.weight)
    nn.init.zeros_(block.affinity.bias)
    weights = block.attention_map(torch.randn(1, 8, 4, 6), POINTS[:1])
    torch.testing.assert_close(weights, torch.full((1, 1, 4, 6), 0.5 / 6))


def test_channels_of_the_output():
    block = AdaptiveContext(8, out_channels=4)
    assert block(torch.randn(2, 8, 5, 6)).shape == (2, 4, 5, 6)


@pytest.mark.parametrize('norm_layer', [nn.BatchNorm2d, nn.SyncBatchNorm])
@pytest.mark.parametrize('pool_scale', [1, 2])
def test_one_image_in_training_says_what_to_do(norm_layer, pool_scale):
    block, x = AdaptiveContext(8, pool_scale=pool_scale, norm_layer=norm_layer), torch.randn(1, 8, 5, 6)
    with pytest.raises(ValueError, match='Use at least 2 images per GPU, SyncBN over several GPUs, or GN'):
        block(x)
    assert block.eval()(x).shape == x.shape


@pytest.mark.parametrize('norm_layer', [lambda channels: nn.GroupNorm(2, channels), None])
def test_one_image_in_training(norm_layer):
    x = torch.randn(1, 8, 5, 6)
    assert AdaptiveContext(8, norm_layer=norm_layer)(x).shape == x.shape


def test_one_image_with_frozen_norms():
    block, x = AdaptiveContext(8).train(), torch.randn(1, 8, 5, 6)
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    assert block(x).shape == x.shape


def test_one_image_per_process(monkeypatch):
    block = AdaptiveContext(8, norm_layer=nn.SyncBatchNorm)
    monkeypatch.setattr(dist, 'is_initialized', lambda: True)
    monkeypatch.setattr(dist, 'get_world_size', lambda group=None: 2)
    check_pooled_batch(block.global_conv.norm, 1)


def test_convolutions_start_by_the_number_of_their_outputs():
    block = AdaptiveContext(24, out_channels=96, norm_layer=None)
    for conv in block.pooled_conv.conv, block.in_conv.conv, block.global_conv.conv, block.fusion_conv.conv:
        torch.testing.assert_close(conv.weight.std().item(), (2 / 96)**0.5, rtol=0.1, atol=0)
        assert not conv.bias.any()


def test_wrong_arguments():
    with pytest.raises(ValueError, match='pool_scale must be a positive integer, got 0'):
        AdaptiveContext(8, pool_scale=0)


@pytest.mark.parametrize('cells', [1, 2, 5])
def test_pooling_in_the_deterministic_mode_of_a_gpu(monkeypatch, cells):
    x = torch.randn(2, 3, 7, 9)
    expected = torch.nn.functional.adaptive_avg_pool2d(x.double(), cells)
    monkeypatch.setattr(determinism, 'is_required', lambda tensor: True)
    with torch.autocast('cpu', torch.bfloat16):
        torch.testing.assert_close(pool_cells(x, cells).double(), expected, rtol=1e-5, atol=1e-6)
