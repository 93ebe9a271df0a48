"""What every operator of ours promises: a schema that holds, gradients, autocast, FLOPs, compilation, plain exports."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from mmseg_attn.ops.carafe import carafe, reassemble
from mmseg_attn.ops.criss_cross import criss_cross, criss_cross_attention
from mmseg_attn.ops.message_passing import pass_messages, sample_and_sum
from mmseg_attn.ops.pixel_attention import softmax_attention, tiled_softmax_attention
from mmseg_attn.ops.psa import point_attention, row_wise_point_attention
from mmseg_attn.ops.windowed_attention import attend_windows, windowed_attention


def _random(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def _positions(*shape):
    # Away from whole numbers, where the slope of an interpolation jumps.
    return (torch.randint(-2, 6, shape) + 0.1 + 0.8 * torch.rand(*shape, dtype=torch.float64)).requires_grad_()


@dataclass
class Case:
    operator: object
    tensors: tuple[Tensor, ...]
    options: tuple = ()
    flops: int = 0
    backward_flops: int = 0
    half: bool = True

    def __call__(self, *tensors):
        return self.operator(*tensors, *self.options)


def _psa(mask_size, collect, softmax, height=3, width=4):
    pairs = 0
    for row in range(height):
        for other in range(height):
            down = other - row if collect else row - other
            if not mask_size:
                pairs += width * width
            elif 0 <= down + (mask_size[0] - 1) // 2 < mask_size[0]:
                # Of the mask's columns all that can lie between two pixels of the map.
                centre = (mask_size[1] - 1) // 2
                pairs += width * sum(0 <= c + centre < mask_size[1] for c in range(1 - width, width))
    positions = mask_size[0] * mask_size[1] if mask_size else height * width
    attention = (height * width)**2 * 2
    return lambda: Case(row_wise_point_attention,
                        (_random(2, height, width, 5), _random(positions, 5), _random(2, height, width, 2)),
                        (mask_size, collect, softmax), flops=4 * (pairs * 5 + attention),
                        backward_flops=4 * (3 * pairs * 5 + 2 * attention))


CASES = {
    'pixel_attention': lambda: Case(
        tiled_softmax_attention, (_random(2, 7, 3), _random(2, 5, 3), _random(2, 5, 4)), (0.7,),
        flops=2 * 2 * 7 * 5 * (3 + 4), backward_flops=2 * 2 * 7 * 5 * (3 * 3 + 2 * 4)),
    'criss_cross': lambda: Case(
        criss_cross, (_random(2, 3, 4, 2), _random(2, 3, 4, 2), _random(2, 3, 4, 5)),
        flops=2 * 2 * 12 * 7 * (2 + 5), backward_flops=2 * 2 * 12 * 7 * (3 * 2 + 2 * 5)),
    'psa-collect': _psa([5, 7], True, True),
    'psa-distribute': _psa([5, 7], False, True),
    'psa-collect-small-mask': _psa([3, 5], True, True),
    'psa-distribute-small-mask': _psa([1, 3], False, True),
    'psa-large-mask': _psa([9, 11], False, True),
    'psa-even-mask': _psa([4, 6], True, True),
    'psa-no-softmax': _psa([5, 5], False, False),
    'psa-compact-collect': _psa([], True, True),
    'psa-compact-distribute': _psa([], False, False),
    'carafe': lambda: Case(
        reassemble, (_random(2, 4, 3, 2), _random(2, 2 * 9, 6, 4)), (3, 2, 2),
        flops=2 * 2 * 4 * 24 * 9, backward_flops=4 * 2 * 4 * 24 * 9, half=False),
    'message_passing': lambda: Case(
        sample_and_sum, (_random(2, 4, 3, 5), _positions(2, 3, 2, 3, 5), _random(2, 2, 3, 3, 5)),
        flops=2 * 4 * 3 * 2 * 4 * 15, backward_flops=4 * 4 * 3 * 2 * 4 * 15, half=False),
    'windowed-product': lambda: Case(
        attend_windows,
        (_random(2, 4, 3, 5), _random(2, 4, 3, 5), _random(2, 6, 3, 5), _random(2, 9), _random(2, 9, 2)),
        (3, 2, 1, 2, 'product', 0.7, -math.inf), flops=2 * 2 * 15 * 9 * (2 * 4 + 6),
        backward_flops=2 * 2 * 15 * 9 * (6 * 4 + 2 * 6), half=False),
    'windowed-difference': lambda: Case(
        attend_windows, (_random(2, 4, 2, 3), _random(2, 4, 3, 5), _random(2, 6, 3, 5), _random(2, 9)),
        (None, 3, 2, 2, 1, 'squared_difference', 0.7, None), flops=2 * 2 * 6 * 9 * (4 + 6),
        backward_flops=2 * 2 * 6 * 9 * (3 * 4 + 2 * 6), half=False),
}


@pytest.fixture(params=CASES)
def case(request):
    torch.manual_seed(0)
    return CASES[request.param]()


def test_keeps_the_rules_of_torch_operators(case):
    tests = ('test_schema', 'test_autograd_registration', 'test_faketensor', 'test_aot_dispatch_static')
    results = torch.library.opcheck(case.operator, (*case.tensors, *case.options), test_utils=tests)
    assert set(results.values()) == {'SUCCESS'}


# The quick one looks along one random direction of each input and output.
@pytest.mark.parametrize('fast', [True, pytest.param(False, marks=pytest.mark.slow)])
def test_all_gradients_by_finite_differences(case, fast):
    assert torch.autograd.gradcheck(case, case.tensors, fast_mode=fast)


def _gradgradcheck(function, tensors):
    try:
        return torch.autograd.gradgradcheck(function, tensors, fast_mode=True)
    except RuntimeError as error:
        if torch.__version__ < (2, 13) and 'grid_sampler_2d_backward is not implemented' in str(error):
            pytest.skip('this PyTorch has no second derivatives of grid_sample')
        raise


def test_second_derivatives(case):
    assert _gradgradcheck(case, case.tensors)


def _first(outputs):
    return outputs[0] if isinstance(outputs, tuple) else outputs


def test_inputs_made_of_one_another(case):
    """As in the heads: what is reassembled also predicts the masks. A backward that can be differentiated again takes
    other operators."""
    def function(x):
        return _first(case(x, *(t + 0.01 * x.sum() for t in case.tensors[1:]))).square().sum()

    x = case.tensors[0]
    expected, = torch.autograd.grad(function(x), x)
    gradient, = torch.autograd.grad(function(x), x, create_graph=True)
    torch.testing.assert_close(gradient, expected)
    assert _gradgradcheck(function, x)


@pytest.mark.parametrize('name', ['pixel_attention', 'criss_cross'])
def test_queries_that_are_the_keys(name):
    case = CASES[name]()
    _, x, value = case.tensors
    out = _first(case(x, x, value)).square().sum()
    expected, = torch.autograd.grad(out, x, retain_graph=True)
    gradient, = torch.autograd.grad(out, x, create_graph=True)
    torch.testing.assert_close(gradient, expected)


def test_forward_mode_is_refused():
    case = CASES['criss_cross']()
    query, *others = (t.detach() for t in case.tensors)
    with pytest.raises(NotImplementedError, match='criss_cross has no forward-mode derivative'):
        torch.func.jvp(lambda x: _first(case(x, *others)), (query,), (query,))


def test_counts_floating_point_operations(case):
    with FlopCounterMode(display=False) as forward:
        out = case(*case.tensors)
    assert forward.get_total_flops() == case.flops
    out = out[0] if isinstance(out, tuple) else out
    with FlopCounterMode(display=False) as backward:
        out.sum().backward()
    assert backward.get_total_flops() == case.backward_flops


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_autocast_hands_over_its_half_precision(case, dtype):
    tensors = [t.detach().float() for t in case.tensors]
    expected = case(*tensors)
    with torch.autocast('cpu', dtype):
        out = case(*tensors)
    out, expected = (t[0] if isinstance(t, tuple) else t for t in (out, expected))
    assert out.dtype == (dtype if case.half else torch.float32)
    tolerance = 0.1 if dtype == torch.bfloat16 else 0.02
    torch.testing.assert_close(out.float(), expected, rtol=tolerance, atol=tolerance)


def test_a_backward_under_autocast_is_the_same(case):
    tensors = [t.detach().float().requires_grad_() for t in case.tensors]
    with torch.autocast('cpu', torch.bfloat16):
        out = _first(case(*tensors)).float().square().sum()
        gradients = torch.autograd.grad(out, tensors, retain_graph=True)
    for ours, expected in zip(gradients, torch.autograd.grad(out, tensors), strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize('name', ['pixel_attention', 'criss_cross', 'psa-collect'])
def test_gradients_of_large_halves_do_not_overflow(name):
    case = CASES[name]()
    tensors = [t.detach() for t in case.tensors]
    tensors = [t.half().requires_grad_() for t in (*tensors[:2], 200 + tensors[2])]
    out = _first(case(*tensors))
    for gradient in torch.autograd.grad(out, tensors, torch.full_like(out, 1000.0)):
        assert gradient.isfinite().all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=str)
def test_half_inputs_are_summed_in_float32(case, dtype):
    tensors = [t.detach().to(dtype) for t in case.tensors]
    if case.operator is sample_and_sum:
        tensors[1] = case.tensors[1].detach().float()  # halves would miss their pixels
    tensors = [t.requires_grad_() for t in tensors]
    exact = [t.detach().double().requires_grad_() for t in tensors]
    out, expected = case(*tensors), case(*exact)
    out, expected = (t[0] if isinstance(t, tuple) else t for t in (out, expected))
    assert out.dtype == dtype
    # One rounding of the result.
    torch.testing.assert_close(out.double(), expected, rtol=2 * torch.finfo(dtype).eps, atol=1e-5)
    out.sum().backward()
    expected.sum().backward()
    for ours, theirs in zip(tensors, exact, strict=True):
        error = (ours.grad.double() - theirs.grad).abs().max() / theirs.grad.abs().max().clamp(min=1e-3)
        assert error < 8 * torch.finfo(dtype).eps


def _image(*shape):
    return torch.randn(*shape, requires_grad=True)


PUBLIC = {
    'pixel_attention': lambda: (softmax_attention, (_image(2, 9, 3), _image(2, 7, 3), _image(2, 7, 5)), (0.7,)),
    'criss_cross': lambda: (criss_cross_attention, (_image(2, 3, 4, 5), _image(2, 3, 4, 5), _image(2, 6, 4, 5)), ()),
    'psa': lambda: (point_attention, (_image(2, 3, 4, 5), _image(35, 3), _image(2, 6, 4, 5)), ((5, 7), True)),
    'carafe': lambda: (carafe, (_image(2, 4, 3, 2), _image(2, 9, 6, 4)), (3, 1, 2)),
    'message_passing': lambda: (
        pass_messages, (_image(2, 4, 3, 5), 3 * _image(2, 9, 2, 3, 5), _image(2, 2, 9, 3, 5)), ()),
    'windowed': lambda: (windowed_attention, (_image(2, 4, 3, 5), _image(2, 4, 3, 5), _image(2, 6, 3, 5)), (3, 2)),
}


@pytest.mark.parametrize(('name', 'index', 'shape', 'message'), [
    ('pixel_attention', 0, (9, 3), r'query must have the shape \(any, any, any\), got \(9, 3\)'),
    ('pixel_attention', 1, (2, 7, 4), r'key must have the shape \(2, any, 3\), got \(2, 7, 4\)'),
    ('pixel_attention', 2, (1, 7, 5), r'value must have the shape \(2, 7, any\), got \(1, 7, 5\)'),
    ('criss_cross', 1, (2, 3, 5, 4), r'key must have the shape \(2, 3, 4, 5\)'),
    ('criss_cross', 2, (3, 6, 4, 5), r'value must have the shape \(2, any, 4, 5\)'),
    ('psa', 1, (36, 3), r'mask must have the shape \(35, 3\)'),
    ('psa', 2, (3, 6, 4, 5), r'value must have the shape \(2, any, 4, 5\)'),
    ('message_passing', 1, (2, 9, 3, 5), r'positions must have the shape \(2, any, 2, 3, 5\)'),
    ('message_passing', 2, (2, 2, 8, 3, 5), r'weights must have the shape \(2, any, 9, 3, 5\)'),
    ('message_passing', 2, (2, 3, 9, 3, 5), '3 groups of 4 channels'),
    ('windowed', 0, (2, 4, 2, 5), r'query must have the shape \(2, 4, 3, 5\)'),
    ('windowed', 1, (2, 4, 15), r'key must have the shape \(any, any, any, any\)'),
    ('windowed', 2, (2, 6, 5, 3), r'value must have the shape \(2, any, 3, 5\)'),
    ('windowed', 2, (2, 5, 3, 5), 'groups must divide the channels of the value, got 2 groups of 5'),
])
def test_tensors_that_do_not_fit(name, index, shape, message):
    """A kernel would read beyond their ends."""
    function, tensors, options = PUBLIC[name]()
    tensors = [*tensors[:index], torch.randn(shape), *tensors[index + 1:]]
    with pytest.raises(ValueError, match=message):
        function(*tensors, *options)


class _Module(torch.nn.Module):
    def __init__(self, function, options):
        super().__init__()
        self.function, self.options = function, options

    def forward(self, *tensors):
        return self.function(*tensors, *self.options)


@pytest.mark.parametrize('name', PUBLIC)
def test_an_export_holds_no_operator_of_ours(name):
    function, tensors, options = PUBLIC[name]()
    module, tensors = _Module(function, options), tuple(t.detach() for t in tensors)
    exported = torch.export.export(module, tensors)
    assert not [n for n in exported.graph.nodes if 'mmseg_attn' in str(n.target)]
    torch.testing.assert_close(exported.module()(*tensors), module(*tensors))


@pytest.mark.parametrize('name', ['criss_cross', 'carafe', 'message_passing', 'windowed'])
def test_a_trace_holds_no_operator_of_ours(name):
    function, tensors, options = PUBLIC[name]()
    module, tensors = _Module(function, options), tuple(t.detach() for t in tensors)
    traced = torch.jit.trace(module, tensors, check_trace=False)
    assert 'mmseg_attn::' not in str(traced.inlined_graph)
    torch.testing.assert_close(traced(*tensors), module(*tensors))


@pytest.mark.parametrize('name', PUBLIC)
def test_activation_checkpointing_gives_the_same_gradients(name):
    function, tensors, options = PUBLIC[name]()
    expected = torch.autograd.grad(function(*tensors, *options).square().sum(), tensors)
    out = torch.utils.checkpoint.checkpoint(function, *tensors, *options, use_reentrant=False)
    for ours, theirs in zip(torch.autograd.grad(out.square().sum(), tensors), expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('name', PUBLIC)
def test_inputs_that_need_no_gradient_get_none(name):
    function, tensors, options = PUBLIC[name]()
    expected = torch.autograd.grad(function(*tensors, *options).sum(), tensors)
    for i, tensor in enumerate(tensors):
        others = [t.detach() for t in tensors]
        others[i] = tensor
        gradient, = torch.autograd.grad(function(*others, *options).sum(), tensor)
        torch.testing.assert_close(gradient, expected[i])
