from functools import partial

import pytest
import torch

from mmseg_attn.ops import windowed_attention as module
from mmseg_attn.ops.windowed_attention import SIMILARITIES, attend_windows, windowed_attention, windowed_weights
from tests.helpers import GOLDEN
from tests.naive import lrnet as naive

BORDERS = 'exclude', 'zero', -1.5


def _random(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype).requires_grad_()


def _inputs(height=5, width=4, stride=1, window=3, groups=2, batch=2):
    queries = -(-height // stride), -(-width // stride)
    return (_random(batch, 2 * groups, *queries), _random(batch, 2 * groups, height, width),
            _random(batch, 3 * groups, height, width), _random(groups, window**2))


def _loops(query, key, value, position, window, stride, dilation, scale, similarity, border):
    position = position.unflatten(1, (window, window))
    return torch.stack([naive.local_relation(*image, position, stride, dilation, scale, similarity, border)
                        for image in zip(query, key, value, strict=True)])


def _compare(out, expected, inputs):
    torch.testing.assert_close(out, expected)
    cotangent = torch.randn_like(out)
    torch.testing.assert_close(*(torch.autograd.grad(result, inputs, cotangent, materialize_grads=True)
                                 for result in (out, expected)))


@pytest.mark.parametrize(('similarity', 'border'), [
    *((similarity, 'exclude') for similarity in SIMILARITIES), ('product', -1.5), ('squared_difference', 'zero')])
def test_equals_the_loops(similarity, border):
    inputs = query, key, value, position = _inputs()
    out = windowed_attention(query, key, value, 3, 2, position=position, similarity=similarity, scale=0.7,
                             border=border)
    _compare(out, _loops(*inputs, 3, 1, 1, 0.7, similarity, border), inputs)


@pytest.mark.parametrize('border', BORDERS)
@pytest.mark.parametrize(('size', 'window', 'stride', 'dilation'), [
    ((1, 1), 3, 1, 1), ((4, 2), 5, 1, 1), ((5, 4), 3, 2, 1), ((3, 7), 3, 3, 2), ((2, 3), 1, 2, 1)], ids=str)
def test_sizes_strides_and_dilations(size, window, stride, dilation, border):
    inputs = query, key, value, position = _inputs(*size, stride, window, batch=1)
    out = windowed_attention(query, key, value, window, 2, position=position, stride=stride, dilation=dilation,
                             similarity='squared_difference', border=border)
    _compare(out, _loops(*inputs, window, stride, dilation, 1, 'squared_difference', border), inputs)


@pytest.mark.parametrize('border', BORDERS)
def test_embeddings_are_multiplied_with_the_query(border):
    """A channel that is one in every query turns its embedding into logits."""
    query, key, value, position = _inputs(groups=1)
    query, key = (torch.cat([t.detach(), fill(t[:, :1].detach())], 1) for t, fill in (
        (query, torch.ones_like), (key, torch.zeros_like)))
    embedding = torch.zeros(1, 9, 3, dtype=torch.float64)
    embedding[0, :, 2] = position.detach()
    out = windowed_attention(query, key, value, 3, embedding=embedding, border=border)
    expected = windowed_attention(query, key, value, 3, position=position, border=border)
    torch.testing.assert_close(out, expected)


def test_gradients_with_and_without_logits_of_positions():
    query, key, value, position = _inputs(3, 3)
    embedding = _random(2, 9, 2)

    def attend(similarity, border, *tensors):
        names = ('query', 'key', 'value', *given)
        return windowed_attention(**dict(zip(names, tensors, strict=True)), window=3, groups=2, similarity=similarity,
                                  border=border)

    for similarity, border, given in [
            ('product', 'exclude', {}), ('product', 'zero', dict(embedding=embedding)),
            ('normalized_squared_difference', -1.5, dict(position=position)),
            ('normalized_difference', 'zero', dict(position=position, embedding=embedding))]:
        inputs = query, key, value, *given.values()
        assert torch.autograd.gradcheck(partial(attend, similarity, border), inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(partial(attend, similarity, border), inputs, fast_mode=True)


@pytest.mark.parametrize('limit', [1, 300, 800])
@pytest.mark.parametrize('stride', [1, 2])
def test_tiles_of_images_and_rows_make_no_difference(monkeypatch, limit, stride):
    inputs = query, key, value, position = _inputs(7, 5, stride, batch=3)
    embedding = _random(2, 9, 2)

    def attend():
        out = windowed_attention(query, key, value, 3, 2, position=position, embedding=embedding, stride=stride,
                                 dilation=2, border=-1.5)
        torch.manual_seed(0)
        return out, torch.autograd.grad(out, (*inputs, embedding), torch.randn_like(out))

    expected = attend()
    monkeypatch.setattr(module, 'MAX_TILE_ELEMENTS', limit)
    torch.testing.assert_close(attend(), expected)


@pytest.mark.parametrize('border', BORDERS)
@pytest.mark.parametrize(('stride', 'dilation'), [(1, 1), (2, 3)])
def test_weights_rebuild_the_output(border, stride, dilation):
    query, key, value, position = (t.detach() for t in _inputs(5, 6, stride, groups=1))
    options = dict(position=position, embedding=torch.randn(1, 9, 2, dtype=torch.float64), stride=stride,
                   dilation=dilation, border=border)
    points = torch.cartesian_prod(*(torch.arange(side) for side in query.shape[2:]))
    weights = windowed_weights(query, key, points, 3, **options)
    out = torch.einsum('bphw,bchw->bcp', weights, value).unflatten(2, query.shape[2:])
    torch.testing.assert_close(out, windowed_attention(query, key, value, 3, **options))
    if border == 'exclude':
        torch.testing.assert_close(weights.sum((2, 3)), torch.ones(len(query), len(points), dtype=torch.float64))


def test_weights_are_the_mean_over_the_groups():
    query, key, _, position = (t.detach() for t in _inputs())
    points = torch.tensor([[0, 0], [4, 1], [2, 2]])
    weights = windowed_weights(query, key, points, 3, 2, position=position)
    alone = [windowed_weights(query[:, 2 * g:2 * g + 2], key[:, 2 * g:2 * g + 2], points, 3, position=position[g:g + 1])
             for g in range(2)]
    torch.testing.assert_close(weights, (alone[0] + alone[1]) / 2)


@pytest.mark.parametrize('number', range(8))
def test_official_output(golden, number):
    case = golden('lrnet_op')['cases'][number]
    config, query, key, position = case['config'], case['query'], case['key'], case['pos_weight'][0].flatten(1)
    options = dict(stride=config['stride'], dilation=config['dilation'], scale=config['scale'],
                   similarity=list(SIMILARITIES)[config['sim_method']], border=config['no_define_value'])
    window, groups = config['kernel_size'], config['groups']
    out = windowed_attention(query, key, case['value'], window, groups, position=position, **options)
    torch.testing.assert_close(out, case['output'], **GOLDEN)
    if 'weights' in case:
        weights = windowed_weights(query, key, torch.tensor([[5, 6]]), window, groups, position=position, **options)
        expected = case['weights'][:, :, :, :, 5, 6].mean(1)
        torch.testing.assert_close(weights[:, 0, 4:7, 5:8], expected, **GOLDEN)
        assert weights.count_nonzero() == 9


def test_half_precision_keeps_large_logits():
    query, key = (100 * torch.randn(1, 4, 5, 6) for _ in range(2))
    value = torch.randn(1, 4, 5, 6)
    query, key, value = (t.half() for t in (query, key, value))
    expected = windowed_attention(query.float(), key.float(), value.float(), 3, similarity='squared_difference')
    with torch.autocast('cpu', torch.float16):
        out = windowed_attention(query, key, value, 3, similarity='squared_difference')
    assert torch.equal(out, expected.half())


def test_no_images():
    query, key, value, position = _inputs(batch=0)
    out = windowed_attention(query, key, value, 3, 2, position=position)
    assert out.shape == value.shape
    out.sum().backward()
    assert value.grad.shape == value.shape
    assert not position.grad.any()


def test_nothing_but_the_inputs_is_kept_for_the_backward():
    query, key, value, position = _inputs(10, 12)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        windowed_attention(query, key, value, 3, 2, position=position)
    assert sum(kept.values()) == 8 * sum(t.numel() for t in (query, key, value, position))


def test_no_tensor_holds_all_taps_of_all_pixels(monkeypatch):
    """Of a map that is more than one tile."""
    computed, sizes = module._weights, []

    def weights(*arguments):
        out = computed(*arguments)
        sizes.append(tuple(out.shape))
        return out

    monkeypatch.setattr(module, '_weights', weights)
    monkeypatch.setattr(module, 'MAX_TILE_ELEMENTS', 4 * 8 * 2 * 49)
    query, key, value, position = _inputs(32, 8, window=7)
    windowed_attention(query, key, value, 7, 2, position=position).sum().backward()
    assert sizes == [(1, 2, 49, 4, 8)] * 32


@pytest.mark.slow
def test_compiles_as_one_graph():
    query, key, value, position = _inputs()

    def attend(*tensors):
        return windowed_attention(*tensors[:3], 3, 2, position=tensors[3])

    compiled = torch.compile(attend, fullgraph=True, backend='aot_eager')(query, key, value, position)
    _compare(compiled, attend(query, key, value, position), (query, key, value, position))


@pytest.mark.parametrize(('options', 'message'), [
    (dict(window=4), 'window must be odd, got 4'),
    (dict(window=0), 'window must be a positive integer, got 0'),
    (dict(groups=3), 'groups must divide the channels of the query, got 3 groups of 4'),
    (dict(stride=2), r'query must have the shape \(2, 4, 3, 2\), got \(2, 4, 5, 4\)'),
    (dict(dilation=0), 'dilation must be a positive integer, got 0'),
    (dict(similarity='cosine'), "similarity must be one of product, .*; got 'cosine'"),
    (dict(border='reflect'), "border must be 'exclude', 'zero' or a logit, got 'reflect'"),
    (dict(border=torch.inf), 'border must be .*, got inf'),
    (dict(border=torch.nan), 'border must be .*, got nan'),
    (dict(border=None), 'border must be .*, got None'),
    (dict(position=torch.zeros(2, 25)), r'position must have the shape \(2, 9\), got \(2, 25\)'),
    (dict(embedding=torch.zeros(2, 9, 4)), r'embedding must have the shape \(2, 9, 2\), got \(2, 9, 4\)'),
])
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        windowed_attention(*_inputs()[:3], **dict(window=3, groups=2) | options)


def test_the_gradient_of_a_part_that_is_absent_is_none():
    query, key, value, _ = _inputs()
    out = attend_windows(query, key, value, None, None, 3, 2, 1, 1, 'product', 1.0, None)
    assert [t is not None for t in torch.autograd.grad(out.sum(), (query, key, value))] == [True] * 3
