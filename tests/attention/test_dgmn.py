from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from mmseg_attn.attention.dgmn import (
    MODES,
    DynamicGraphMessagePassing,
    bilinear_sample,
    deformable_conv,
    sampling_positions,
)
from tests.attention.variants import CHANNELS, NORMS, any_options
from tests.helpers import GOLDEN, randomize, rename
from tests.naive import dgmn as naive

POINTS = torch.tensor([[0, 0], [4, 5], [2, 3]])
BLOCKS = {
    # Reduced, as random offsets of the plain form amplify rounding beyond what the battery allows.
    '': partial(DynamicGraphMessagePassing, CHANNELS, rates=(1, 3), reduction=2, norm_layer=None),
    'deform': partial(DynamicGraphMessagePassing, CHANNELS, rates=(2,), mode='deform'),
    'none': partial(DynamicGraphMessagePassing, CHANNELS, rates=(1, 3), mode='none'),
    'fast': partial(
        DynamicGraphMessagePassing, CHANNELS, rates=(1, 3), rigorous=False, norm_layer=partial(nn.GroupNorm, 2)),
}
HEADS = {'DGMNHead': [dict(), dict(reduction=2, mode='deform'), dict(rigorous=False, concat_input=False)]}


def oracle(block, x):
    features, messages = block.reduce(x), []
    for i, rate in enumerate(block.rates):
        if block.rigorous:
            offset_weight = None if block.mode == 'none' else block.offset_convs[i].weight
            messages.append(block.gamma[i] * naive.rigorous_message(
                features[0], offset_weight, block.filter_convs[i].weight, rate, block.groups, block.mode))
        else:
            messages.append(naive.fast_message(features[0], block.dynamic_convs[i].weight, rate, block.groups,
                                               block.mode))
    if not block.rigorous:
        return x + block.expand(block.fuse(torch.cat([features[0], *messages])[None]))
    out = block.expand(features + sum(messages))
    return x + out if block.reduction > 1 else out


PROPERTIES = {
    '': any_options(
        DynamicGraphMessagePassing, oracle, examples=8, channels=st.just(4),
        rates=st.sampled_from([(1,), (2,), (3,)]), groups=st.integers(1, 2),
        mode=st.sampled_from(['deformatt', 'deform', 'none']), rigorous=st.booleans(),
        reduction=st.sampled_from([1, 2]), norm_layer=NORMS),
}


def load_official(block, state_dict):
    gammas = [state_dict[k] for k in sorted(state_dict) if k.startswith('gamma')]
    rest = {k: v for k, v in state_dict.items() if not k.startswith('gamma')}
    names = {'scale1.0': 'reduce.conv', 'scale1.1': 'reduce.norm', 'scale2.0': 'fuse.conv', 'scale2.1': 'fuse.norm',
             'scale3.0': 'expand.conv', 'scale3.1': 'expand.norm'}
    for i, letter in enumerate('abcd'):
        names[f'off_conv{letter}'] = f'offset_convs.{i}'
        names[f'kernel_conv{letter}'] = f'filter_convs.{i}'
        names[f'cat{letter}'] = f'filter_convs.{i}' if gammas else f'dynamic_convs.{i}'
    block.load_state_dict(rename(rest, names) | ({'gamma': torch.cat(gammas)} if gammas else {}))


@pytest.mark.parametrize('name', ['recat33_deformatt', 'recat33_deform', 'recat33_none', 'recat11_deformatt',
                                  'cat33_deformatt', 'cat11_deformatt'])
def test_official_output(golden, name):
    official = golden(f'dgmn_{name}_g4')
    config = official['config']
    arguments = dict(rates=config['dilation'], groups=config['group'], mode=config['deform'],
                     rigorous=name.startswith('re'), reduction=4 if 'cat11' in name else 1)
    build = partial(DynamicGraphMessagePassing, config['channels'], **arguments)
    for block, output in [(build(), official['output_att4_fixed']),
                          (build(released_fourth_rate=name in ('recat33_deformatt', 'recat11_deformatt')),
                           official['output'])]:
        load_official(block, official['state_dict'])
        torch.testing.assert_close(block(official['input']), output, **GOLDEN)


def test_official_sampling(golden):
    official = golden('dgmn_deform_unfold')
    for case in official['cases']:
        positions = sampling_positions(official['offset'], case['dilation'])
        samples = torch.stack([bilinear_sample(official['input'], positions[:, k]) for k in range(9)], dim=2)
        torch.testing.assert_close(samples.flatten(3).flatten(1, 2), case['columns'], **GOLDEN)


@pytest.mark.parametrize('size', [(3, 4), (1, 5), (4, 1)], ids=str)
def test_deformable_convolution_equals_the_loops(size):
    x, offsets = torch.randn(3, *size, dtype=torch.float64), torch.randn(18, *size, dtype=torch.float64)
    weight = torch.randn(2, 3, 3, 3, dtype=torch.float64)
    expected = naive.conv_of_samples(naive.sample(x, offsets, 2), weight)
    torch.testing.assert_close(deformable_conv(x[None], weight, sampling_positions(offsets[None], 2))[0], expected)


@pytest.mark.parametrize('mode', MODES)
@pytest.mark.parametrize('rigorous', [True, False])
def test_output_and_gradients_equal_the_loops(mode, rigorous):
    block = DynamicGraphMessagePassing(2, rates=(1, 2), groups=2, mode=mode, rigorous=rigorous, norm_layer=None)
    randomize(block).double()
    x = torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True)
    messages = []
    for i, rate in enumerate(block.rates):
        if rigorous:
            offset_weight = None if mode == 'none' else block.offset_convs[i].weight
            messages.append(block.gamma[i] * naive.rigorous_message(
                x[0], offset_weight, block.filter_convs[i].weight, rate, 2, mode))
        else:
            messages.append(naive.fast_message(x[0], block.dynamic_convs[i].weight, rate, 2, mode))
    expected = x + (sum(messages) if rigorous else block.fuse(torch.cat([x[0], *messages])[None]))
    out = block(x)
    torch.testing.assert_close(out, expected)
    leaves = [x, *block.parameters()]
    cotangent = torch.randn_like(out)
    for ours, loops in zip(torch.autograd.grad(out, leaves, cotangent),
                           torch.autograd.grad(expected, leaves, cotangent), strict=True):
        torch.testing.assert_close(ours, loops)


def test_nothing_wide_is_kept_for_the_backward():
    block, x = DynamicGraphMessagePassing(64), torch.randn(1, 64, 8, 8, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.untyped_storage()) or t, lambda t: t):
        block(x)
    wide = {s.data_ptr() for s in kept if s.nbytes() == x.nbytes}
    assert wide <= {x.untyped_storage().data_ptr()}


def test_positions_are_not_rounded_to_half_precision():
    block = randomize(DynamicGraphMessagePassing(16, rates=(12,)))
    x = torch.randn(1, 16, 30, 90)
    with torch.autocast('cpu', torch.bfloat16):
        positions, _ = block._dynamics(x, 0)
    torch.testing.assert_close(positions, block._dynamics(x, 0)[0])


def test_large_messages_that_cancel_do_not_overflow_in_half_precision():
    block, x = DynamicGraphMessagePassing(8, rates=(1, 1), mode='none'), torch.full((1, 8, 5, 7), 3e4).half()
    for conv in block.filter_convs:
        nn.init.zeros_(conv.weight)
    block.gamma.data = torch.tensor([4.0, -4.0])
    with torch.autocast('cpu', torch.float16):
        assert torch.equal(block(x), x)


@pytest.mark.parametrize('arguments', [dict(), dict(mode='deform'), dict(mode='none'), dict(released_fourth_rate=True)],
                         ids=str)
def test_attention_map_rebuilds_the_output(arguments):
    block = randomize(DynamicGraphMessagePassing(6, groups=1, **arguments)).double()
    x = torch.randn(2, 6, 5, 7, dtype=torch.float64)
    messages = torch.einsum('bphw,bchw->bcp', block.attention_map(x, POINTS), x)
    row, column = POINTS.unbind(1)
    torch.testing.assert_close(x[:, :, row, column] + messages, block(x)[:, :, row, column])


def test_attention_map_is_the_mean_over_the_groups():
    block = randomize(DynamicGraphMessagePassing(6, groups=3)).double()
    x = torch.randn(1, 6, 5, 7, dtype=torch.float64)
    # With the same values in all channels a message is the sum of the weights; the filters stay those of x.
    dynamics, values = block._dynamics, torch.randn(1, 1, 5, 7, dtype=torch.float64).expand(1, 6, 5, 7)
    block._dynamics = lambda _, index: dynamics(x, index)
    weights = block.attention_map(x, POINTS)
    messages = (block(values) - values).mean(dim=1)[:, POINTS[:, 0], POINTS[:, 1]]
    torch.testing.assert_close(torch.einsum('bphw,bhw->bp', weights, values[:, 0]), messages)


def test_attention_map_of_the_faster_form():
    block = randomize(DynamicGraphMessagePassing(6, groups=1, rigorous=False, rates=(1, 3), norm_layer=None)).double()
    x, messages = torch.randn(1, 6, 5, 7, dtype=torch.float64), []
    block.fuse.register_forward_pre_hook(lambda _, inputs: messages.append(inputs[0]))
    block(x)
    _, first, second = messages[0].chunk(3, dim=1)
    expected = (first + second)[:, :, POINTS[:, 0], POINTS[:, 1]]
    torch.testing.assert_close(torch.einsum('bphw,bchw->bcp', block.attention_map(x, POINTS), x), expected)


def test_starts_as_released():
    block = DynamicGraphMessagePassing(16)
    assert torch.equal(block.gamma, torch.ones(4))
    bound = (9 * 16)**-0.5
    for conv in (*block.offset_convs, *block.filter_convs):
        assert 0.9 * bound < conv.weight.abs().max() <= bound
    norm = DynamicGraphMessagePassing(128, reduction=4).reduce.norm
    assert isinstance(norm, nn.GroupNorm)
    assert (norm.num_groups, norm.eps) == (32, 1e-5)


@pytest.mark.parametrize('wrong', [
    dict(mode='deformat'), dict(rates=()), dict(rates=(0, 1)), dict(groups=3), dict(groups=0), dict(reduction=8),
    dict(released_fourth_rate=True, rates=(1, 4)), dict(released_fourth_rate=True, mode='deform'),
    dict(released_fourth_rate=True, rigorous=False)], ids=str)
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DynamicGraphMessagePassing(16, **wrong)
