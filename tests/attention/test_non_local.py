from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from mmcv.cnn import NonLocal2d

from mmseg_attn.attention import non_local
from mmseg_attn.attention.non_local import MODES, NonLocal, concatenation_attention
from mmseg_attn.checkpoints.sources.mmseg import NON_LOCAL_BLOCK as MMCV
from mmseg_attn.ops import determinism
from tests.attention.oracles import pixels, pool, unflatten
from tests.attention.variants import CHANNELS, NORMS, WIDTHS, any_options
from tests.helpers import assert_matches_golden, randomize, rename
from tests.naive import non_local as naive

PORT = {'g': 'value', 'g.0': 'value', 'W.0': 'out_conv', 'W.1': 'norm', 'theta': 'query', 'phi': 'key',
        'phi.0': 'key', 'concat_project.0': 'concat_project'}
ORIGINAL = {'theta': 'query', 'phi': 'key', 'g': 'value', 'out': 'out_conv', 'bn': 'norm'}
BLOCKS = {
    '': partial(NonLocal, CHANNELS),
    'gaussian': partial(NonLocal, CHANNELS, mode='gaussian'),
    'dot_product': partial(NonLocal, CHANNELS, mode='dot_product'),
    'concatenation': partial(NonLocal, CHANNELS, mode='concatenation'),
    'before': partial(NonLocal, CHANNELS, sub_sample='before'),
    'after': partial(NonLocal, CHANNELS, sub_sample='after'),
    'no_norm': partial(NonLocal, CHANNELS, norm_layer=None),
}
HEADS = {'NLHead': [dict(), dict(mode='dot_product', concat_input=False), dict(sub_sample='after')]}


def oracle(block, x):
    """With the default ``use_scale=True``."""
    source = pool(x, 2) if block.sub_sample == 'before' else x
    projected = source if block.mode == 'gaussian' else block.key(source)
    after = 2 if block.sub_sample == 'after' else 1
    key, value = (pixels(pool(t, after)) for t in (projected, block.value(source)))
    query = pixels(x if block.mode == 'gaussian' else block.query(x))
    concat = block.concat_project.weight.flatten() if block.mode == 'concatenation' else None
    scale = key.shape[1]**-0.5 if block.mode == 'embedded_gaussian' else 1.0
    context = naive.attend(naive.weights(query, key, block.mode, scale, concat), value)
    return x + block.norm(block.out_conv(unflatten(context, x)))


PROPERTIES = {
    '': any_options(
        NonLocal, oracle, key_channels=WIDTHS,
        mode=st.sampled_from(['embedded_gaussian', 'gaussian', 'dot_product', 'concatenation']),
        sub_sample=st.sampled_from([None, 'before', 'after']), norm_layer=NORMS),
}


@pytest.mark.parametrize('name', ['embedded_gaussian', 'embedded_gaussian_subsample', 'gaussian', 'dot_product',
                                  'dot_product_subsample', 'concatenation'])
def test_port_output_and_gradients(golden, name):
    official = golden(f'nonlocal_{name}')
    config = official['config']
    block = NonLocal(16, key_channels=config['inter_channels'], mode=config['mode'], use_scale=False,
                     sub_sample='after' if config['sub_sample'] else None)
    assert_matches_golden(block, official, PORT)


@pytest.mark.parametrize(('name', 'mode'), [('fbtranslation', 'embedded_gaussian'),
                                            ('fbtranslation_dotproduct', 'dot_product')])
def test_original_output_and_gradients(golden, name, mode):
    assert_matches_golden(NonLocal(16, mode=mode), golden(f'nonlocal_{name}'), ORIGINAL)


@pytest.mark.parametrize('sub_sample', [False, True])
@pytest.mark.parametrize('mode', MODES)
def test_mmcv_with_copied_weights(mode, sub_sample):
    reduction = 1 if mode == 'gaussian' else 2
    theirs = randomize(NonLocal2d(12, reduction=reduction, mode=mode, sub_sample=sub_sample,
                                  norm_cfg=dict(type='BN'))).eval()
    ours = NonLocal(12, key_channels=12 // reduction, mode=mode, sub_sample='after' if sub_sample else None).eval()
    torch.nn.init.zeros_(ours.out_conv.bias)  # mmcv has none before its norm
    ours.load_state_dict(rename(theirs.state_dict(), MMCV) | {'out_conv.bias': ours.out_conv.bias.data})
    x = torch.randn(2, 12, 9, 7)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=2e-5)


def test_pooling_before_the_projections():
    block = randomize(NonLocal(6, sub_sample='before')).double().eval()
    x = torch.randn(1, 6, 5, 4, dtype=torch.float64)
    pooled = torch.nn.functional.max_pool2d(x, 2)
    query, key, value = block.query(x), block.key(pooled), block.value(pooled)
    weights = naive.weights(*(t[0].flatten(1).T.detach() for t in (query, key)), 'embedded_gaussian', scale=3**-0.5)
    context = naive.attend(weights, value[0].flatten(1).T.detach()).T.reshape(1, 3, 5, 4)
    torch.testing.assert_close(block(x), x + block.norm(block.out_conv(context)))


@pytest.mark.parametrize('num_keys', [1, 3, 5, 6, 9])
def test_concatenation_equals_the_loops(num_keys, monkeypatch):
    monkeypatch.setattr(non_local, 'BLOCK_KEYS', 3)
    query, key, value = torch.randn(2, 7), torch.randn(2, num_keys), torch.randn(2, num_keys, 3)
    query[0, :2] = torch.tensor([-9.0, 9.0])  # sees no key, and all
    query, key, value = (t.double().requires_grad_() for t in (query, key, value))
    expected = torch.zeros(2, 7, 3, dtype=torch.float64)
    for b in range(2):
        for i in range(7):
            for j in range(num_keys):
                expected[b, i] += max(query[b, i] + key[b, j], 0) * value[b, j] / num_keys
    torch.testing.assert_close(concatenation_attention(query, key, value), expected)
    assert torch.autograd.gradcheck(concatenation_attention, (query, key, value))


def test_concatenation_of_equal_keys():
    query, key, value = torch.tensor([[-2.0, -1.0, 0.5]]), torch.ones(1, 300), torch.rand(1, 300, 2)
    expected = (query[0] + 1).relu()[:, None] * value[0].mean(dim=0)
    torch.testing.assert_close(concatenation_attention(query, key, value)[0], expected)


@pytest.mark.parametrize('far', [0.0, -1e6], ids=['alike', 'one key far away'])
@pytest.mark.parametrize('offset', [0.0, 1000.0])
def test_concatenation_of_many_pixels_keeps_its_precision(offset, far):
    """With an offset, sums of keys and values alone are thousands of times what remains of their difference."""
    query, key = torch.randn(1, 301) - offset, torch.randn(1, 20001) + offset
    key[0, 128::3000] += far
    value = torch.rand(1, 20001, 2)
    pairs = (query[0, :, None].double() + key[0].double()).relu() / 20001
    torch.testing.assert_close(concatenation_attention(query, key, value)[0], (pairs @ value[0].double()).float(),
                               rtol=1e-6, atol=1e-9)


def test_gradients_of_many_keys_keep_their_precision():
    """That of the keys is the sum of what their queries learn, and not what is left of large ones that cancel."""
    query, key, value = torch.randn(1, 500) + 2, torch.randn(1, 4000), torch.randn(1, 4000, 8) + 0.5
    cotangent = torch.randn(1, 500, 8)
    found = []
    for dtype in torch.float32, torch.float64:
        inputs = [t.to(dtype).requires_grad_() for t in (query, key, value)]
        found.append(torch.autograd.grad(concatenation_attention(*inputs), inputs, cotangent.to(dtype)))
    for ours, exact in zip(*found, strict=True):
        assert (ours - exact).abs().max() < 3e-6 * exact.abs().max()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_deterministic_sums_under_autocast(monkeypatch, dtype):
    terms = torch.randn(1, 2, 128, 6)
    expected = terms.double().cumsum(dim=2)
    monkeypatch.setattr(determinism, 'is_required', lambda tensor: True)
    with torch.autocast('cpu', dtype):
        torch.testing.assert_close(non_local._running_sums(terms).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('mode', MODES)
def test_attention_map_rebuilds_the_context(mode):
    block, x = randomize(NonLocal(8, mode=mode)).double().eval(), torch.randn(2, 8, 5, 6, dtype=torch.float64)
    points = torch.tensor([[0, 0], [4, 5], [2, 3]])
    weights = block.attention_map(x, points).flatten(2)
    context = torch.einsum('bpn,bcn->bcp', weights, block.value(x).flatten(2))
    out = x[:, :, points[:, 0], points[:, 1]] + block.norm(block.out_conv(context[..., None]))[..., 0]
    torch.testing.assert_close(out, block(x)[:, :, points[:, 0], points[:, 1]])


@pytest.mark.parametrize('sub_sample', ['before', 'after'])
def test_attention_map_shares_the_weight_of_a_pooled_key(sub_sample):
    block, x = randomize(NonLocal(8, sub_sample=sub_sample)).eval(), torch.randn(2, 8, 5, 6)
    weights = block.attention_map(x, torch.tensor([[1, 1]]))[:, 0]
    torch.testing.assert_close(weights.sum((1, 2)), torch.ones(2))
    assert torch.equal(weights[:, 4], torch.zeros(2, 6))
    assert torch.equal(weights[:, 0:2, 0:2].flatten(1), weights[:, :1, 0].expand(2, 4))


@pytest.mark.parametrize('wrong', [dict(mode='cosine'), dict(sub_sample=True)])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match='must be one of'):
        NonLocal(8, **wrong)


def test_starts_as_the_identity():
    x = torch.randn(2, 8, 5, 6)
    for norm_layer in (torch.nn.BatchNorm2d, None):
        torch.testing.assert_close(NonLocal(8, norm_layer=norm_layer).eval()(x), x)


def test_a_norm_without_weights():
    x = torch.randn(2, 8, 5, 6)
    torch.testing.assert_close(NonLocal(8, norm_layer=torch.nn.InstanceNorm2d)(x), x, atol=1e-5, rtol=0)


@pytest.mark.parametrize('zero_init', [False, True])
def test_convolutions_start_small_and_without_biases(zero_init):
    block = NonLocal(96, mode='concatenation', norm_layer=None, zero_init=zero_init)
    for name, conv in block.named_children():
        if not isinstance(conv, torch.nn.Conv2d):
            continue
        std = 0.0 if zero_init and name == 'out_conv' else 0.01
        torch.testing.assert_close(conv.weight.square().mean().sqrt().item(), std, rtol=0.3, atol=0, msg=name)
        assert conv.bias is None or not conv.bias.any()
