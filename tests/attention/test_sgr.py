from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from mmseg_attn.attention.sgr import (
    SymbolicGraphReasoning,
    collect_votes,
    evolve,
    mix_nodes,
    normalize_adjacency,
)
from tests.attention.oracles import pixels, unflatten
from tests.attention.variants import CHANNELS, WIDTHS, any_options
from tests.helpers import GOLDEN, randomize
from tests.naive import sgr as naive

RING = [[0, 1, 0, 2], [1, 0, 0.5, 0], [0, 0.5, 0, 1], [2, 0, 1, 0]]
SYMBOLS = [[0.2, -1, 3], [1, 1, 1], [-0.5, 0, 0.1], [0, 0, 0]]
POINTS = torch.tensor([[0, 0], [4, 5], [2, 3]])
BLOCKS = {
    '': partial(SymbolicGraphReasoning, CHANNELS, num_nodes=6, embedding_channels=5),
    'additive': partial(SymbolicGraphReasoning, CHANNELS, num_nodes=6, embedding_channels=5, compat='additive'),
    'given_graph': partial(SymbolicGraphReasoning, CHANNELS, adjacency=RING, embeddings=SYMBOLS, state_channels=7),
    'three_layers': partial(SymbolicGraphReasoning, CHANNELS, num_nodes=6, embedding_channels=0, num_layers=3),
    'zero_init': partial(SymbolicGraphReasoning, CHANNELS, num_nodes=6, embedding_channels=5, zero_init=True),
}
HEADS = {'SGRHead': [dict(), dict(adjacency=RING, embeddings=SYMBOLS, state_channels=6),
                     dict(compat='additive', num_layers=3, embedding_channels=0, normalize=False, zero_init=True)]}


def oracle(block, x):
    image = pixels(x)
    shares = naive.votes(image, block.vote.weight.flatten(1))
    states = naive.nodes(image, shares, block.state.weight, block.normalize)
    states = naive.evolve(states, block.adjacency, [layer.weight for layer in block.layers], block.embeddings)
    if block.compat == 'bilinear':
        mixing = naive.mapping(image, states, naive.bilinear, block.mix.weight)
    else:
        # With any weights for the pixel, which the block has none of.
        weight = torch.cat([block.mix.weight[0], torch.linspace(-1, 1, image.shape[1], dtype=x.dtype)])
        mixing = naive.mapping(image, states, naive.additive, weight)
    context = unflatten(naive.mixtures(mixing, states, block.out.weight), x)
    return x + context if block.gamma is None else x + block.gamma * context


PROPERTIES = {
    '': any_options(
        SymbolicGraphReasoning, oracle, num_nodes=WIDTHS, embedding_channels=st.integers(0, 3), state_channels=WIDTHS,
        num_layers=st.integers(1, 2), compat=st.sampled_from(['bilinear', 'additive']), normalize=st.booleans(),
        zero_init=st.booleans()),
    'given_graph': any_options(
        SymbolicGraphReasoning, oracle, examples=3, adjacency=st.sampled_from([RING, None]),
        embeddings=st.just(SYMBOLS), state_channels=WIDTHS),
}


def _doubles(*sizes):
    return [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in sizes]


def _assert_equal_with_gradients(out, expected, leaves):
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    for ours, theirs in zip(torch.autograd.grad(out, leaves, cotangent),
                            torch.autograd.grad(expected, leaves, cotangent), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('normalize', [True, False])
def test_votes_equal_the_loops(normalize):
    image, weight, state = _doubles((2, 7, 4), (3, 4), (5, 4))
    sums, _ = collect_votes(image.transpose(1, 2), weight @ image.transpose(1, 2), normalize)
    expected = torch.stack([naive.nodes(x, naive.votes(x, weight), state, normalize) for x in image])
    _assert_equal_with_gradients(sums @ state.T, expected, (image, weight, state))


@pytest.mark.parametrize('has_embeddings', [True, False])
def test_graph_convolutions_equal_the_loops(has_embeddings):
    nodes, first, embedded, second, symbols = _doubles((2, 4, 3), (3, 3), (3, 5), (3, 3), (4, 2))
    layers, symbols = ([embedded, second], symbols) if has_embeddings else ([first, second], None)
    graph = naive.normalize_adjacency(torch.tensor(RING, dtype=torch.float64))
    out = evolve(nodes, graph, layers, symbols)
    expected = torch.stack([naive.evolve(states, graph, layers, symbols) for states in nodes])
    _assert_equal_with_gradients(out, expected, (nodes, *layers, *([symbols] if has_embeddings else [])))


def test_bilinear_mixing_equals_the_loops():
    image, nodes, weight = _doubles((2, 7, 4), (2, 3, 5), (5, 4))
    out = mix_nodes(image.transpose(1, 2), nodes, weight, 'bilinear').transpose(1, 2)
    expected = torch.stack([naive.mapping(x, states, naive.bilinear, weight)
                            for x, states in zip(image, nodes, strict=True)])
    _assert_equal_with_gradients(out, expected, (image, nodes, weight))


def test_additive_mixing_is_the_same_for_all_pixels():
    image, nodes, of_node, of_pixel = _doubles((2, 7, 4), (2, 3, 5), (1, 5), (4,))
    out = mix_nodes(image.transpose(1, 2), nodes, of_node, 'additive').transpose(1, 2).expand(-1, 7, -1)
    weight = torch.cat([of_node[0], of_pixel])
    expected = torch.stack([naive.mapping(x, states, naive.additive, weight)
                            for x, states in zip(image, nodes, strict=True)])
    of_pixels = torch.autograd.grad(expected, (of_pixel, image), torch.randn_like(expected), retain_graph=True)
    torch.testing.assert_close(of_pixels, (torch.zeros_like(of_pixel), torch.zeros_like(image)))
    _assert_equal_with_gradients(out, expected, (nodes, of_node))


@pytest.mark.parametrize('compat', ['bilinear', 'additive'])
def test_block_and_its_gradients_equal_the_loops(compat):
    block = randomize(SymbolicGraphReasoning(6, adjacency=RING, embedding_channels=2, state_channels=3, num_layers=2,
                                             compat=compat, zero_init=True)).double()
    x = torch.randn(2, 6, 3, 4, dtype=torch.float64, requires_grad=True)
    expected = torch.cat([oracle(block, x[i:i + 1]) for i in range(2)])
    _assert_equal_with_gradients(block(x), expected, [x, *block.parameters()])


@pytest.mark.parametrize(('adjacency', 'expected'), [
    (RING, None), (torch.zeros(3, 3), torch.eye(3)), ([[0, 1, 0], [0, 0, 1], [0, 0, 0]], None)])
def test_adjacency_is_normalized(adjacency, expected):
    graph = torch.as_tensor(adjacency, dtype=torch.float32)
    expected = naive.normalize_adjacency(graph) if expected is None else expected
    torch.testing.assert_close(normalize_adjacency(graph), expected)
    torch.testing.assert_close(SymbolicGraphReasoning(8, adjacency=adjacency).adjacency, expected)


def _load(block, official, names):
    """``names``: ours -> theirs, or a function of their weights."""
    given = official['state_dict']
    weights = {ours: given[theirs] if isinstance(theirs, str) else theirs(given) for ours, theirs in names.items()}
    block.load_state_dict({name: value.reshape(block.state_dict()[name].shape) for name, value in weights.items()})
    return block.eval()


@pytest.mark.parametrize('compat', ['bilinear', 'additive'])
def test_the_paper_as_another_program_computes_it(golden, compat):
    official = golden(f'sgr_paper_{compat}')
    config = official['config']
    block = SymbolicGraphReasoning(
        config['Dl'], num_nodes=config['M'], embeddings=official['state_dict']['emb'], state_channels=config['Dc'],
        compat=compat, normalize=False)
    # Of W^s the part that sees the node: the other one has no effect.
    mix = 'Wq.weight' if compat == 'bilinear' else lambda given: given['Ws.weight'][:, :config['Dc']]
    _load(block, official, {
        'adjacency': 'adj', 'embeddings': 'emb', 'vote.weight': 'Wa.weight', 'state.weight': 'Wps.weight',
        'layers.0.weight': 'Wg.weight', 'out.weight': 'Wsp.weight', 'mix.weight': mix})
    torch.testing.assert_close(block(official['input']), official['output'], **GOLDEN)


def test_graphonomy(golden):
    """Its output is what is mapped back, without the input."""
    official = golden('sgr_graphonomy_chain')
    config = official['config']
    channels, width = config['input_channels'], config['hidden_layers']
    block = SymbolicGraphReasoning(channels, num_nodes=config['nodes'], embedding_channels=0, state_channels=width,
                                   compat='additive', normalize=False)
    _load(block, official, {
        'adjacency': 'adj', 'vote.weight': lambda given: given['f2g.pre_fea'].T,
        'state.weight': lambda given: given['f2g.weight'].T, 'layers.0.weight': lambda given: given['gcn.weight'].T,
        'mix.weight': lambda given: given['g2f.node_fea'][channels:],
        'out.weight': lambda given: given['g2f.weight'].T})
    x = official['input']
    torch.testing.assert_close(block(x) - x, official['output'], **GOLDEN)


def test_normalize_divides_the_votes_by_the_number_of_pixels():
    block = randomize(SymbolicGraphReasoning(8, num_nodes=3, embedding_channels=2)).double()
    x = torch.randn(2, 8, 5, 6, dtype=torch.float64)
    expected = block(x)
    # The same picture of other size means the same.
    torch.testing.assert_close(block(x.repeat(1, 1, 2, 3)), expected.repeat(1, 1, 2, 3))
    block.normalize = False
    block.state.weight.data /= 30
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_keeps_the_votes_of_many_pixels(dtype):
    block = randomize(SymbolicGraphReasoning(4, num_nodes=2, embedding_channels=0, normalize=False))
    for parameter in block.parameters():
        parameter.data.abs_()
    x = 20 + torch.rand(1, 4, 199, 201).to(dtype)
    wide = x.float()
    block.out.weight.data *= 100 / (block(wide) - wide).mean()
    expected = block(wide)
    with torch.autocast('cpu', dtype):
        out = block(x)
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), expected, rtol=0.02, atol=0)


def _from_the_map(block, x):
    """What the points receive, from the attention map: without activations, but with what the embeddings add."""
    states = torch.einsum('bphw,bchw->bpc', block.attention_map(x, POINTS), x) @ block.state.weight.T
    first, width = block.layers[0].weight, block.state.weight.shape[0]
    nodes, _ = block._nodes(x.flatten(2), block.vote(x).flatten(2))
    mixing = mix_nodes(x[:, :, POINTS[:, 0], POINTS[:, 1]], nodes, block.mix.weight, block.compat).transpose(1, 2)
    for _ in block.layers:
        mixing = mixing @ block.adjacency
    states = states @ first[:, :width].T + mixing @ block.embeddings @ first[:, width:].T
    for layer in block.layers[1:]:
        states = states @ layer.weight.T
    return (states @ block.out.weight.T).transpose(1, 2)


@pytest.mark.parametrize('compat', ['bilinear', 'additive'])
@pytest.mark.parametrize('normalize', [True, False])
def test_attention_map_rebuilds_the_context_without_activation(compat, normalize):
    block = randomize(SymbolicGraphReasoning(
        8, adjacency=RING, embedding_channels=3, state_channels=5, num_layers=2, compat=compat, normalize=normalize,
        act_layer=None)).double()
    x = torch.randn(2, 8, 5, 6, dtype=torch.float64)
    received = (block(x) - x)[:, :, POINTS[:, 0], POINTS[:, 1]]
    torch.testing.assert_close(_from_the_map(block, x), received)


def test_attention_map_rebuilds_the_context_of_positive_nodes():
    block = randomize(SymbolicGraphReasoning(8, adjacency=RING, embedding_channels=3)).double()
    x = torch.rand(2, 8, 5, 6, dtype=torch.float64)
    received = (block(x) - x)[:, :, POINTS[:, 0], POINTS[:, 1]]
    assert not torch.allclose(_from_the_map(block, x), received)
    for parameter in block.parameters():
        parameter.data.abs_()
    received = (block(x) - x)[:, :, POINTS[:, 0], POINTS[:, 1]]
    torch.testing.assert_close(_from_the_map(block, x), received)


def test_additive_maps_are_the_same_for_all_points():
    block = randomize(SymbolicGraphReasoning(8, num_nodes=4, compat='additive'))
    weights = block.attention_map(torch.randn(1, 8, 5, 6), POINTS)
    assert torch.equal(weights, weights[:, :1].expand(-1, 3, -1, -1))


def test_starts_as_the_identity():
    x = torch.randn(2, 8, 5, 6)
    block = SymbolicGraphReasoning(8, num_nodes=3, zero_init=True)
    torch.testing.assert_close(block(x), x)
    block(x).square().sum().backward()
    assert block.gamma.grad.abs() > 0
    assert not torch.equal(SymbolicGraphReasoning(8, num_nodes=3)(x), x)


def test_what_is_learned_and_what_is_given():
    learned = SymbolicGraphReasoning(8, adjacency=RING)
    assert learned.embeddings.shape == (4, 300)
    assert learned.embeddings.requires_grad
    given = SymbolicGraphReasoning(8, embeddings=SYMBOLS)
    assert not given.embeddings.requires_grad
    assert {'adjacency', 'embeddings'} <= given.state_dict().keys()
    assert torch.equal(given.adjacency, torch.eye(4))
    assert SymbolicGraphReasoning(8, num_nodes=2, embedding_channels=0).embeddings is None


def test_a_given_tensor_stays_the_callers():
    symbols = torch.tensor(SYMBOLS, requires_grad=True)
    block = SymbolicGraphReasoning(8, embeddings=symbols)
    block.embeddings.zero_()
    assert not block.embeddings.requires_grad
    assert torch.equal(symbols.detach(), torch.tensor(SYMBOLS))


@pytest.mark.parametrize('suffix', ['.npy', '.pt'])
def test_matrices_from_files(tmp_path, suffix):
    for name, matrix in ('graph', RING), ('symbols', SYMBOLS):
        path = tmp_path / f'{name}{suffix}'
        np.save(path, np.array(matrix)) if suffix == '.npy' else torch.save(torch.tensor(matrix), path)
    paths = str(tmp_path / f'graph{suffix}'), tmp_path / f'symbols{suffix}'
    block = SymbolicGraphReasoning(8, adjacency=paths[0], embeddings=paths[1])
    torch.testing.assert_close(block.adjacency, normalize_adjacency(torch.tensor(RING)))
    torch.testing.assert_close(block.embeddings, torch.tensor(SYMBOLS))


def test_files_that_hold_no_matrix(tmp_path):
    with pytest.raises(ValueError, match=r'adjacency: there is no file .*absent\.npy'):
        SymbolicGraphReasoning(8, adjacency=tmp_path / 'absent.npy')
    for name in 'graph.npy', 'graph.pt':
        (tmp_path / name).write_text('0 1\n1 0\n')
        with pytest.raises(ValueError, match=rf'adjacency: .*{name} is no matrix that torch\.save'):
            SymbolicGraphReasoning(8, adjacency=str(tmp_path / name))
    np.save(tmp_path / 'objects.npy', np.array([[None, {}]], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r'embeddings: .*objects\.npy is no matrix'):
        SymbolicGraphReasoning(8, embeddings=tmp_path / 'objects.npy')
    torch.save(dict(graph=torch.eye(2)), tmp_path / 'named.pt')
    with pytest.raises(ValueError, match=r'adjacency must be a matrix of numbers, got .*named\.pt'):
        SymbolicGraphReasoning(8, adjacency=tmp_path / 'named.pt')


@pytest.mark.parametrize(('wrong', 'message'), [
    (dict(), 'num_nodes must be given where neither adjacency nor embeddings are'),
    (dict(num_nodes=0), 'num_nodes must be a positive integer, got 0'),
    (dict(num_nodes=2, num_layers=0), 'num_layers must be a positive integer'),
    (dict(num_nodes=2, state_channels=-1), 'state_channels must be a positive integer'),
    (dict(num_nodes=2, embedding_channels=-1), 'embedding_channels must be a positive integer'),
    (dict(num_nodes=2, compat='dot'), "compat must be one of bilinear, additive, got 'dot'"),
    (dict(num_nodes=3, adjacency=RING), r'adjacency must have the shape \(3, 3\), got \(4, 4\)'),
    (dict(adjacency=SYMBOLS), r'adjacency must have the shape \(4, 4\), got \(4, 3\)'),
    (dict(adjacency=RING, embeddings=SYMBOLS[:2]), r'embeddings must have the shape \(4, any\), got \(2, 3\)'),
    (dict(adjacency=[[0, -1], [0, 0]]), 'adjacency must have no negative weight, got -1'),
    (dict(adjacency=[[0, float('nan')], [0, 0]]), 'adjacency must be finite'),
    (dict(adjacency=[[0, 1], [0]]), 'adjacency must be a matrix of numbers, got a list'),
    (dict(embeddings=[[]]), r'embeddings must be a matrix, got a list of shape \(1, 0\)'),
    (dict(embeddings=torch.zeros(3)), r'embeddings must be a matrix, got a Tensor of shape \(3,\)'),
])
def test_wrong_arguments(wrong, message):
    with pytest.raises(ValueError, match=message):
        SymbolicGraphReasoning(8, **wrong)
