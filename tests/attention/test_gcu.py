from functools import partial

import pytest
import torch
from hypothesis import strategies as st
from torch import nn

from mmseg_attn.attention.gcu import BeyondGrids, GraphConvolutionUnit, assign, convolve, gather, kmeans
from tests.attention.oracles import pixels, unflatten
from tests.attention.variants import CHANNELS, NORMS, WIDTHS, any_options
from tests.helpers import GOLDEN, randomize
from tests.naive import gcu as naive

POINTS = torch.tensor([[0, 0], [3, 4], [2, 3]])
BLOCKS = {
    '': partial(BeyondGrids, CHANNELS, num_nodes=(2, 5)),
    'unit': partial(GraphConvolutionUnit, CHANNELS, num_nodes=5),
    'zero_init': partial(BeyondGrids, CHANNELS, num_nodes=(2, 4, 3), unit_channels=3, zero_init=True),
    'no_norm': partial(BeyondGrids, CHANNELS, num_nodes=(2, 4), norm_layer=None),
}
HEADS = {'GCUHead': [dict(num_nodes=(2, 4)), dict(num_nodes=(3,), unit_channels=5, zero_init=True)]}


def unit_oracle(unit, x):
    out = naive.graph_convolution_unit(pixels(x), unit.anchors, unit.sigma_logits.sigmoid(), unit.weight)
    return unflatten(out, x)


def oracle(block, x):
    out = block.out_conv(torch.cat([x, *(unit_oracle(unit, x) for unit in block.units)], dim=1))
    return out if block.gamma is None else x + block.gamma * out


PROPERTIES = {
    '': any_options(BeyondGrids, oracle, num_nodes=st.lists(WIDTHS, min_size=1, max_size=2), unit_channels=WIDTHS,
                    norm_layer=NORMS, zero_init=st.booleans()),
    'unit': any_options(GraphConvolutionUnit, unit_oracle, num_nodes=WIDTHS),
}


def _assert_equal_with_gradients(out, expected, leaves):
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    for ours, theirs in zip(torch.autograd.grad(out, leaves, cotangent),
                            torch.autograd.grad(expected, leaves, cotangent), strict=True):
        torch.testing.assert_close(ours, theirs)


def _inputs():
    """Pixels (2, 7, 4); anchors and sigmas (3, 4)."""
    image, anchors, sigmas = torch.randn(2, 7, 4), torch.randn(3, 4), torch.rand(3, 4) + 0.2
    return [tensor.double().requires_grad_() for tensor in (image, anchors, sigmas)]


def test_assignment_equals_the_loops():
    image, anchors, sigmas = leaves = _inputs()
    out = assign(image.transpose(1, 2), anchors, sigmas, [3]).transpose(1, 2)
    expected = torch.stack([naive.assignment(naive.residuals(x, anchors, sigmas)) for x in image])
    _assert_equal_with_gradients(out, expected, leaves)


def test_graphs_do_not_share_their_pixels():
    image, anchors, sigmas = _inputs()
    out = assign(image.transpose(1, 2), anchors, sigmas, [2, 1])
    torch.testing.assert_close(out[:, :2], assign(image.transpose(1, 2), anchors[:2], sigmas[:2], [2]))
    assert torch.equal(out[:, 2:], torch.ones_like(out[:, 2:]))


def test_nodes_equal_the_loops():
    image, anchors, sigmas = leaves = _inputs()
    shares = torch.rand(2, 7, 3, dtype=torch.float64, requires_grad=True)
    out = torch.cat(gather(image.transpose(1, 2), shares.transpose(1, 2), anchors, sigmas), dim=2)
    nodes, scales = zip(*(naive.nodes(naive.residuals(x, anchors, sigmas), q)
                          for x, q in zip(image, shares, strict=True)), strict=True)
    expected = torch.cat([torch.stack(nodes), torch.stack(scales)[..., None]], dim=2)
    _assert_equal_with_gradients(out, expected, [*leaves, shares])


def test_graph_convolution_equals_the_loops():
    nodes = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    expected = torch.stack([naive.convolve(states, weight) for states in nodes])
    _assert_equal_with_gradients(convolve(nodes, weight), expected, (nodes, weight))


@pytest.mark.parametrize('zero_init', [False, True])
def test_block_and_its_gradients_equal_the_loops(zero_init):
    block = randomize(BeyondGrids(5, num_nodes=(2, 3), zero_init=zero_init)).double().eval()
    x = torch.randn(2, 5, 3, 4, dtype=torch.float64, requires_grad=True)
    expected = torch.cat([oracle(block, x[i:i + 1]) for i in range(2)])
    _assert_equal_with_gradients(block(x), expected, [x, *block.parameters()])


def test_the_paper_as_another_program_computes_it(golden):
    official = golden('gcu_paper')
    config = official['config']
    unit = GraphConvolutionUnit(config['dim'], num_nodes=config['K'], out_channels=config['out'])
    names = dict(anchor='anchors', sigma='sigma_logits', weight='weight')
    unit.load_state_dict({names[name]: value for name, value in official['state_dict'].items()})
    torch.testing.assert_close(unit(official['input']), official['output'], **GOLDEN)


def test_assignment_of_many_channels_in_float32():
    """A distance is a sum of hundreds of terms, of which the products must leave enough digits: what the nodes have in
    common is taken away before, without which the error is several times as large."""
    image, anchors = torch.rand(1, 512, 50).double(), torch.rand(32, 512).double()
    sigmas = torch.rand(32, 512).double().sigmoid()
    expected = assign(image, anchors, sigmas, [32])
    out = assign(image.float(), anchors.float(), sigmas.float(), [32])
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=2e-5)


def test_an_empty_node_is_zero_and_has_finite_gradients():
    unit = randomize(GraphConvolutionUnit(6, num_nodes=3))
    unit.anchors.data[1] = 1e3
    x = torch.randn(1, 6, 4, 5, requires_grad=True)
    nodes = gather(x.flatten(2), assign(x.flatten(2), unit.anchors, unit.sigma_logits.sigmoid(), [3]), unit.anchors,
                   unit.sigma_logits.sigmoid())[0]
    assert torch.equal(nodes[:, 1], torch.zeros(1, 6))
    torch.testing.assert_close(nodes[:, [0, 2]].norm(dim=2), torch.ones(1, 2))
    unit(x).square().sum().backward()
    for gradient in x.grad, *(parameter.grad for parameter in unit.parameters()):
        assert gradient.isfinite().all()


def test_no_tensor_of_pixels_nodes_and_channels():
    largest = 0
    x = torch.randn(1, 16, 20, 30, requires_grad=True)

    def note(tensor):
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        BeyondGrids(16, num_nodes=(4, 8))(x).sum().backward()
    assert largest <= 2 * x.numel()


def _points(x):
    return x[:, :, POINTS[:, 0], POINTS[:, 1]]


def test_attention_map_equals_the_loops():
    block = randomize(BeyondGrids(4, num_nodes=(1, 3))).double().eval()
    x = torch.randn(2, 4, 4, 5, dtype=torch.float64)
    index = POINTS[:, 0] * 5 + POINTS[:, 1]
    expected = [torch.stack([naive.attention(pixels(image[None]), unit.anchors, unit.sigma_logits.sigmoid())[index]
                             for image in x]).unflatten(2, (4, 5)) for unit in block.units]
    torch.testing.assert_close(block.attention_map(x, POINTS), (expected[0] + expected[1]) / 2)
    torch.testing.assert_close(block.units[1].attention_map(x, POINTS), expected[1])


def test_attention_map_rebuilds_the_output_of_equal_sigmas_without_activation():
    unit = randomize(GraphConvolutionUnit(4, num_nodes=3, act_layer=None)).double()
    unit.sigma_logits.data[:] = unit.sigma_logits[0].clone()
    x = torch.randn(2, 4, 4, 5, dtype=torch.float64)
    sigmas = unit.sigma_logits.sigmoid()
    shares = assign(x.flatten(2), unit.anchors, sigmas, [3])
    nodes, scale = gather(x.flatten(2), shares, unit.anchors, sigmas)
    # What the anchors take away: as much of each as pixels are drawn on by way of its node.
    drawn = _points(shares.unflatten(2, (4, 5))).transpose(1, 2) @ nodes @ nodes.transpose(1, 2)
    drawn = drawn * (scale * shares.sum(dim=2, keepdim=True)).transpose(1, 2)
    received = torch.einsum('bphw,bchw->bpc', unit.attention_map(x, POINTS), x) - drawn @ unit.anchors
    torch.testing.assert_close((received / sigmas[0] @ unit.weight).transpose(1, 2), _points(unit(x)))


@pytest.mark.parametrize('norm_layer', [nn.BatchNorm2d, None])
def test_starts_as_the_identity(norm_layer):
    x = torch.randn(2, 8, 5, 6)
    block = BeyondGrids(8, num_nodes=(2, 3), norm_layer=norm_layer, zero_init=True)
    torch.testing.assert_close(block(x), x)
    block(x).square().sum().backward()
    assert block.gamma.grad.abs() > 0
    assert not torch.allclose(BeyondGrids(8, num_nodes=(2, 3), norm_layer=norm_layer)(x), x)


def test_default_widths():
    block = BeyondGrids(64)
    assert [unit.weight.shape for unit in block.units] == [(64, 16)] * 4
    assert [unit.num_nodes for unit in block.units] == [2, 4, 8, 32]
    assert BeyondGrids(2).units[0].weight.shape == (2, 1)


def _blobs():
    """Features (2, 3, 4, 6) in three groups of 16 pixels; their means, and which pixel is in which group."""
    means = torch.tensor([[0.0, 0, 0], [5, 0, 1], [0, 9, 4]])
    groups = torch.arange(48).remainder(3)[torch.randperm(48)]
    points = means[groups] + 0.3 * torch.randn(48, 3)
    return points.unflatten(0, (2, 4, 6)).permute(0, 3, 1, 2), points, groups


def test_nodes_are_fitted_to_clusters():
    features, points, groups = _blobs()
    unit = GraphConvolutionUnit(3, num_nodes=3)
    unit.fit_nodes(features)
    for group in range(3):
        member = points[groups == group]
        k = (unit.anchors - member.mean(dim=0)).norm(dim=1).argmin()
        torch.testing.assert_close(unit.anchors[k].detach(), member.mean(dim=0))
        torch.testing.assert_close(unit.sigma_logits[k].sigmoid().detach(), member.std(dim=0, correction=0))


def test_fitting_repeats_itself_and_reaches_every_unit():
    features, *_ = _blobs()
    first, second = BeyondGrids(3, num_nodes=(1, 4)), BeyondGrids(3, num_nodes=(1, 4))
    for block in first, second:
        block.fit_nodes(features.half())
    for ours, theirs in zip(first.units, second.units, strict=True):
        assert torch.equal(ours.anchors, theirs.anchors)
        assert torch.equal(ours.sigma_logits, theirs.sigma_logits)
        assert ours.anchors.requires_grad
    torch.testing.assert_close(first.units[0].anchors[0].detach(), features.half().float().mean(dim=(0, 2, 3)))


def test_more_clusters_than_pixels_are_different():
    points = torch.tensor([[1.0, 2], [1, 2], [4, 4]])
    centres, deviations = kmeans(points, 5)
    assert {tuple(centre) for centre in centres.tolist()} == {(1, 2), (4, 4)}
    assert torch.equal(deviations, torch.zeros(5, 2))
    unit = GraphConvolutionUnit(2, num_nodes=5)
    unit.fit_nodes(points.T[None, :, None])
    assert unit.sigma_logits.isfinite().all()


@pytest.mark.parametrize(('features', 'message'), [
    (torch.zeros(1, 4, 2, 2), r'features must have the shape \(any, 3, any, any\), got \(1, 4, 2, 2\)'),
    (torch.full((1, 3, 2, 2), torch.nan), 'features must be finite')])
def test_features_that_cannot_be_fitted(features, message):
    with pytest.raises(ValueError, match=message):
        BeyondGrids(3).fit_nodes(features)


@pytest.mark.parametrize(('cls', 'wrong', 'message'), [
    (GraphConvolutionUnit, dict(num_nodes=0), 'num_nodes must be a positive integer, got 0'),
    (GraphConvolutionUnit, dict(out_channels=0), 'out_channels must be a positive integer'),
    (BeyondGrids, dict(num_nodes=()), 'num_nodes must be a sequence of positive integers'),
    (BeyondGrids, dict(num_nodes=8), 'num_nodes must be a sequence of positive integers, got 8'),
    (BeyondGrids, dict(unit_channels=0), 'unit_channels must be a positive integer')])
def test_wrong_arguments(cls, wrong, message):
    with pytest.raises(ValueError, match=message):
        cls(8, **wrong)
