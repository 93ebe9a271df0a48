from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from mmseg_attn.attention.psanet import PointwiseSpatialAttention
from tests.attention.oracles import last, resize, unflatten
from tests.attention.variants import CHANNELS, NORMS, WIDTHS, any_options
from tests.helpers import randomize
from tests.naive import psanet as naive

BLOCKS = {
    '': partial(PointwiseSpatialAttention, CHANNELS, mask_size=(9, 13)),
    'collect-no_softmax': partial(
        PointwiseSpatialAttention, CHANNELS, mask_size=(5, 9), psa_type='collect', psa_softmax=False,
        normalization_factor=None),
    'distribute': partial(PointwiseSpatialAttention, CHANNELS, mask_size=(5, 5), psa_type='distribute'),
}
HEADS = {'PSAHead': [dict(mask_size=(5, 7)), dict(crop_size=(72, 104), psa_type='collect', mmseg_compatible=True)]}


def oracle(block, x):
    """Not in the form that is compatible with mmseg."""
    size = [-(-side // block.shrink_factor) for side in x.shape[2:]]
    attended = []
    for direction in block.directions:
        branch = block.get_submodule(direction)
        features = resize(branch.reduce(x), size)
        logits = last(branch.mask(branch.attention(features)))
        logits = logits.flatten(0, 1) if block.compact else naive.relative_to_absolute(logits, block.mask_size)
        values = features[0].flatten(1)
        if block.psa_softmax:
            out = naive.attend(values, logits, direction)
        else:
            out = values @ (logits.T if direction == 'collect' else logits)
        attended.append(unflatten(out.T, features) / block.normalization_factor)
    return resize(block.proj(torch.cat(attended, dim=1)), x.shape[2:])


PROPERTIES = {
    '': any_options(
        PointwiseSpatialAttention, oracle, mid_channels=WIDTHS,
        mask_size=st.sampled_from([(1, 1), (3, 5), (7, 3), (1, 25)]), compact=st.booleans(),
        psa_type=st.sampled_from(['collect', 'distribute', 'bi-direction']), shrink_factor=st.integers(1, 3),
        normalization_factor=st.sampled_from([1.0, 1.5, None]), psa_softmax=st.booleans(), norm_layer=NORMS),
}


def _block(**kwargs):
    arguments = dict(mask_size=(3, 5), mid_channels=3, shrink_factor=1) | kwargs
    return randomize(PointwiseSpatialAttention(6, **arguments)).double().eval()


def _image(height=4, width=5):
    return torch.randn(2, 6, height, width, dtype=torch.float64)


@pytest.mark.parametrize('psa_type', ['collect', 'distribute', 'bi-direction'])
def test_equals_the_loops(psa_type):
    block, x = _block(psa_type=psa_type), _image().requires_grad_()
    attended = []
    for direction in block.directions:
        branch = block.get_submodule(direction)
        features = branch.reduce(x)
        logits = branch.mask(branch.attention(features)).permute(0, 2, 3, 1)
        attended.append(torch.stack([
            naive.attend(f.flatten(1), naive.relative_to_absolute(m, (3, 5)), direction)
            for f, m in zip(features, logits, strict=True)]).unflatten(2, (4, 5)))
    expected = block.proj(torch.cat(attended, dim=1))
    out = block(x)
    torch.testing.assert_close(out, expected)
    leaves = [x, *block.parameters()]
    cotangent = torch.randn_like(out)
    for ours, theirs in zip(torch.autograd.grad(out, leaves, cotangent),
                            torch.autograd.grad(expected, leaves, cotangent), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_without_softmax_the_logits_are_the_weights():
    block, x = _block(psa_type='distribute', psa_softmax=False, normalization_factor=None), _image()
    branch = block.distribute
    features = branch.reduce(x)
    logits = branch.mask(branch.attention(features)).permute(0, 2, 3, 1)
    weights = torch.stack([naive.relative_to_absolute(m, (3, 5)) for m in logits]) / 15
    torch.testing.assert_close(block(x), block.proj((features.flatten(2) @ weights).unflatten(2, (4, 5))))


@pytest.mark.parametrize('size', [(8, 10), (7, 9), (8, 9), (1, 6)], ids=str)
def test_any_size_shrinks_and_grows_with_aligned_corners(size):
    block, x = _block(shrink_factor=2, psa_type='collect'), _image(*size)
    small = F.interpolate(block.collect.reduce(x), ((size[0] + 1) // 2, (size[1] + 1) // 2), mode='bilinear',
                          align_corners=True)
    inner = _block(psa_type='collect')
    inner.load_state_dict(block.state_dict())
    inner.collect.reduce = torch.nn.Identity()
    expected = F.interpolate(inner(small), size, mode='bilinear', align_corners=True)
    torch.testing.assert_close(block(x), expected)


MAPPED = [dict(shrink_factor=s, psa_type=t, compact=c, psa_softmax=p, mmseg_compatible=m)
          for t in ('collect', 'distribute') for s, c, p, m in
          [(1, False, True, False), (2, False, True, False), (2, False, False, True), (3, False, True, True),
           (1, False, True, True), (2, True, True, False)]]


@pytest.mark.parametrize('kwargs', MAPPED, ids=str)
def test_attention_map_rebuilds_the_output(kwargs):
    """With a linear ``proj`` the output is a sum of reduced features with the weights of the map."""
    size = (6, 7)
    block = _block(**kwargs, mask_size=(3, 4) if kwargs['compact'] else (3, 5), normalization_factor=1.5)
    block.proj.norm, block.proj.act = torch.nn.Identity(), torch.nn.Identity()
    x = _image(*size)
    direction, = block.directions
    reduced = block.get_submodule(direction).reduce(x)
    points = torch.tensor([[0, 0], [5, 6], [2, 3], [5, 0]])
    weights = block.attention_map(x, points)
    summed = torch.einsum('bphw,bchw->bcp', weights, reduced)
    expected = F.conv2d(summed[..., None], block.proj.conv.weight)[..., 0]
    torch.testing.assert_close(expected, block(x)[:, :, points[:, 0], points[:, 1]])


def test_attention_map_of_both_directions_is_the_mean():
    block, x = _block(psa_type='bi-direction'), _image()
    points = torch.tensor([[0, 0], [3, 4]])
    maps = []
    for direction in ('collect', 'distribute'):
        single = _block(psa_type=direction)
        single.get_submodule(direction).load_state_dict(block.get_submodule(direction).state_dict())
        maps.append(single.attention_map(x, points))
    torch.testing.assert_close(block.attention_map(x, points), (maps[0] + maps[1]) / 2)


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(psa_type='both'), 'must be one of'), (dict(mask_size=(4, 5)), 'must be odd'),
    (dict(mask_size=0), r'sequence of positive integers, got \(0, 0\)'), (dict(mask_size=(3, 5, 7)), 'two numbers'),
    (dict(shrink_factor=0), 'shrink_factor must be a positive integer, got 0'),
    (dict(shrink_factor=2.5), 'got 2.5'), (dict(normalization_factor=0), 'must not be 0')])
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        _block(**wrong)


def test_a_compact_mask_fits_one_size_only():
    block = _block(compact=True, mask_size=(4, 5))
    assert block(_image()).shape == (2, 6, 4, 5)
    with pytest.raises(ValueError, match=r'compact mask of \(4, 5\).*got \(5, 5\)'):
        block(_image(5, 5))
