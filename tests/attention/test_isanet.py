from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import nn

from mmseg_attn.attention.isanet import InterlacedSparseSelfAttention, from_groups, to_groups
from mmseg_attn.checkpoints.sources.openseg import isa_names
from tests.attention.oracles import first, last
from tests.attention.variants import CHANNELS, NORMS, WIDTHS, any_options
from tests.helpers import assert_matches_golden, randomize
from tests.naive import isanet as naive

BLOCKS = {
    '': partial(InterlacedSparseSelfAttention, CHANNELS, down_factors=4),
    'factors': partial(InterlacedSparseSelfAttention, CHANNELS, down_factors=((4, 2), (3, 3))),
    'masked': partial(InterlacedSparseSelfAttention, CHANNELS, down_factors=(4, 3), mask_padding=True),
    'no_norm': partial(InterlacedSparseSelfAttention, CHANNELS, down_factors=4, norm_layer=None),
    'group_norm': partial(InterlacedSparseSelfAttention, CHANNELS, down_factors=4, norm_layer=partial(nn.GroupNorm, 4)),
}
HEADS = {'ISAHead': [dict(isa_channels=4), dict(isa_channels=4, down_factors=((4, 3), (2, 2)), mask_padding=True)]}


def by_group(layer, x, factor, long_range):
    """``layer`` of each group of pixels, which its norms see as an image."""
    out, positions = {}, [(i, j) for i in range(x.shape[2]) for j in range(x.shape[3])]
    for pixel in positions:
        if pixel not in out:
            group = [other for other in positions if naive.related(pixel, other, factor, long_range)]
            pixels = layer(torch.stack([x[:, :, i, j] for i, j in group], dim=2)[..., None])
            out |= {position: pixels[:, :, k, 0] for k, position in enumerate(group)}
    return torch.stack([out[position] for position in positions], dim=2).unflatten(2, x.shape[2:])


def interlaced_stage(stage, x):
    """One factor -> its context, and the map (H, W, H, W) of all pixels."""
    factor = stage.factor
    (top, bottom), (left, right) = (naive.padding(s, f) for s, f in zip(x.shape[2:], factor, strict=True))
    height, width = x.shape[2:]
    x = F.pad(x, (left, right, top, bottom))
    inside = [(top + i, left + j) for i in range(height) for j in range(width)]
    without = [(i, j) for i in range(x.shape[2]) for j in range(x.shape[3]) if (i, j) not in inside]
    maps = []
    for attention in stage.long_range, stage.short_range:
        layer = partial(by_group, factor=factor, long_range=attention.long_range)
        query, key, value = (last(layer(f, x)) for f in (attention.query, attention.key, attention.value))
        maps.append(naive.weights(query, key, factor, attention.long_range, query.shape[2]**-0.5,
                                  without if stage.mask_padding else ()))
        x = layer(attention.out_conv, first(naive.attend(maps[-1], value)))
    rows, columns = slice(top, top + height), slice(left, left + width)
    return x[:, :, rows, columns], naive.compose(maps[1], maps[0])[rows, columns, rows, columns]


def oracle(block, x):
    contexts = [interlaced_stage(stage, x)[0] for stage in block.stages]
    return block.out_conv(torch.cat([block.up_conv(x), *contexts], dim=1))


FACTORS = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=1, max_size=2)
PROPERTIES = {
    '': any_options(
        InterlacedSparseSelfAttention, oracle, key_channels=WIDTHS, value_channels=WIDTHS,
        down_factors=FACTORS, value_bias=st.booleans(), mask_padding=st.booleans(), norm_layer=NORMS),
}


def test_official_output_and_gradients(golden):
    assert_matches_golden(InterlacedSparseSelfAttention(16, act_layer=nn.ReLU), golden('isa_module'),
                          isa_names('.0'))


def test_official_output_and_gradients_with_leaky_relu(golden):
    assert_matches_golden(InterlacedSparseSelfAttention(16), golden('isa_module_inplaceabn'), isa_names(''))


def _double(channels=4, **kwargs):
    block = randomize(InterlacedSparseSelfAttention(channels, key_channels=3, **kwargs), std=0.7)
    return block.double().eval()


def _image(batch=1, height=5, width=6, channels=4):
    return torch.randn(batch, channels, height, width, dtype=torch.float64)


@pytest.mark.parametrize(('factors', 'mask_padding', 'norm_layer'), [
    *((factors, mask_padding, nn.BatchNorm2d) for factors in (((2, 3),), ((4, 4),), ((2, 2), (3, 4)))
      for mask_padding in (False, True)), (((2, 3),), False, partial(nn.GroupNorm, 1))])
def test_equals_the_loops(factors, mask_padding, norm_layer):
    block = _double(down_factors=factors, value_channels=5, value_bias=True, mask_padding=mask_padding,
                    norm_layer=norm_layer)
    x = _image(height=5, width=6)
    contexts, maps = zip(*(interlaced_stage(stage, x) for stage in block.stages), strict=True)
    widened = block.up_conv(x) if len(factors) > 1 else x
    torch.testing.assert_close(block(x), block.out_conv(torch.cat([widened, *contexts], dim=1)))
    points = torch.tensor([[0, 0], [4, 5], [2, 3]])
    expected = sum(m[points[:, 0], points[:, 1]] for m in maps) / len(maps)
    torch.testing.assert_close(block.attention_map(x, points)[0], expected.detach())


def test_gradients_equal_those_of_plain_attention():
    block = _double(down_factors=((2, 2),))
    x = _image(2, 4, 6).requires_grad_()
    inputs = (x, *block.parameters())
    stage, out = block.stages[0], x
    for attention, long_range in (stage.long_range, True), (stage.short_range, False):
        projections = attention.query, attention.key, attention.value
        query, key, value = (f(out).flatten(2).transpose(1, 2) for f in projections)
        related = torch.tensor([[naive.related((i // 6, i % 6), (j // 6, j % 6), (2, 2), long_range)
                                 for j in range(24)] for i in range(24)])
        weights = (3**-0.5 * query @ key.transpose(1, 2)).masked_fill(~related, -torch.inf).softmax(2)
        out = attention.out_conv((weights @ value).transpose(1, 2).unflatten(2, (4, 6)))
    expected = block.out_conv(torch.cat([x, out], dim=1))
    cotangent = torch.randn_like(expected)
    torch.testing.assert_close(torch.autograd.grad(block(x), inputs, cotangent),
                               torch.autograd.grad(expected, inputs, cotangent))


@pytest.mark.parametrize('long_range', [False, True])
def test_groups_and_back(long_range):
    x = torch.arange(2 * 3 * 4 * 9).view(2, 3, 4, 9)
    groups = to_groups(x, (2, 3), long_range)
    assert torch.equal(from_groups(groups, x, (2, 3), long_range), x)
    place, cell = (1, 2), (0, 1)
    row, column = cell[0] * 2 + place[0], cell[1] * 3 + place[1]
    expected = x[1, :, place[0]::2, place[1]::3] if long_range else x[1, :, 0:2, 3:6]
    which = 6 + place[0] * 3 + place[1] if long_range else 6 + cell[0] * 3 + cell[1]
    assert torch.equal(groups[which], expected.flatten(1).T)
    assert x[1, 0, row, column] in groups[which]


def test_padding_changes_nothing_when_masked():
    block = _double(down_factors=((4, 4),), mask_padding=True)
    x = _image(height=4, width=6)
    other = _double(down_factors=((4, 4),))
    other.load_state_dict(block.state_dict())
    torch.testing.assert_close(block(x[..., :4]), other(x[..., :4]))
    assert not torch.allclose(block(x), other(x))
    points = torch.tensor([[0, 0], [3, 5]])
    torch.testing.assert_close(block.attention_map(x, points).sum((2, 3)), torch.ones(1, 2, dtype=torch.float64))
    assert (other.attention_map(x, points).sum((2, 3)) < 0.999).all()


@pytest.mark.parametrize(('given', 'factors'), [(8, [(8, 8)]), ((4, 2), [(4, 2)]), ([[8, 8]], [(8, 8)]),
                                                ((4, (2, 3)), [(4, 4), (2, 3)])], ids=str)
def test_forms_of_the_factors(given, factors):
    block = InterlacedSparseSelfAttention(4, down_factors=given)
    assert [stage.factor for stage in block.stages] == factors


@pytest.mark.parametrize('wrong', [0, (), (8, 0), ((8, 8, 8),), 2.0, '8'], ids=str)
def test_wrong_factors(wrong):
    with pytest.raises(ValueError, match='down_factors'):
        InterlacedSparseSelfAttention(4, down_factors=wrong)
