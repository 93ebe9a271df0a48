"""Ours and mmseg's with the same weights compute the same, and a check that finds what does not."""

import sys
from types import SimpleNamespace

import pytest
import torch
from mmseg.models.decode_heads import cc_head, psa_head
from torch import nn

from mmseg_attn.benchmark.baselines import DOUBLE_TOLERANCES, build_pair, why_no_baseline
from mmseg_attn.benchmark.cases import Case, attention_of, build_head, head_config, randomize
from mmseg_attn.benchmark.checks import DOUBLE_TOLERANCE, WrongResultError, check_against_baseline, check_against_double
from mmseg_attn.benchmark.settings import methods
from mmseg_attn.environment import MissingOperators
from tests.models.heads.test_ccnet import CrissCrossEquation
from tests.models.heads.test_psanet import PSAMask

SMALL = dict(in_channels=64, channels=16)
CPU = torch.device('cpu')
PAIRS = [(method, 'head') for method in ('apcnet', 'ccnet', 'danet', 'emanet', 'isanet', 'non_local')]
PAIRS += [(method, 'block') for method in ('apcnet', 'ccnet', 'danet', 'non_local')]
PAIRS += [pytest.param('psanet', 'head', marks=pytest.mark.slow)]  # for the loops of the oracle


def tolerance(method):
    return DOUBLE_TOLERANCES.get(method, DOUBLE_TOLERANCE)


@pytest.fixture
def _compiled_ops(monkeypatch):
    """The equations of what mmcv compiles, in its place if it can be imported: mmengine imports other things of it."""
    try:
        import mmcv.ops as ops
    except ImportError:
        ops = SimpleNamespace()
        monkeypatch.setitem(sys.modules, 'mmcv.ops', ops)
        monkeypatch.setattr('mmcv.ops', ops, raising=False)
    monkeypatch.setattr(ops, 'PSAMask', PSAMask, raising=False)
    monkeypatch.setattr(ops, 'CrissCrossAttention', CrissCrossEquation, raising=False)
    monkeypatch.setattr('mmseg_attn.benchmark.baselines.has_operators', lambda: True)
    monkeypatch.setattr(psa_head, 'PSAMask', PSAMask)
    monkeypatch.setattr(cc_head, 'CrissCrossAttention', CrissCrossEquation)


@pytest.mark.usefixtures('_compiled_ops')
@pytest.mark.parametrize(('method', 'level'), PAIRS)
def test_pairs(method, level):
    assert why_no_baseline(method, level) is None
    ours, theirs = build_pair(method, head_config(method, **SMALL), level)
    assert type(ours) is type(theirs) is Case
    modules = [type(case.head or case.blocks[0]).__module__ for case in (ours, theirs)]
    assert modules[0].startswith('mmseg_attn.')
    assert not modules[1].startswith('mmseg_attn.models.heads')
    for training in (False, True):
        assert 0 <= check_against_baseline(ours, theirs, CPU, training, tolerance(method)) < 1e-4


def test_why_there_is_no_baseline():
    assert why_no_baseline('glore', 'head') == 'mmseg has no head of this method'
    assert why_no_baseline('glore', 'block') == 'mmseg has no block of this method'
    assert why_no_baseline('emanet', 'block') == 'mmseg computes it inside its head: --level head'
    assert why_no_baseline('carafe', 'head') == 'mmseg has no head of this method'
    assert why_no_baseline('non_local', 'block') is None


@pytest.mark.parametrize(('method', 'name'), [
    ('psanet', 'PSAMask'), ('ccnet', 'CrissCrossAttention'), ('carafe', 'CARAFEPack')])
def test_without_compiled_ops(monkeypatch, method, name):
    level = 'block' if method == 'carafe' else 'head'
    monkeypatch.setattr('mmseg_attn.benchmark.baselines.has_operators', lambda: True)
    monkeypatch.setitem(sys.modules, 'mmcv.ops', None)
    assert why_no_baseline(method, level) == f"mmseg's needs {name} of an mmcv with compiled ops"
    monkeypatch.setitem(sys.modules, 'mmcv.ops', SimpleNamespace())
    monkeypatch.setattr('mmcv.ops', SimpleNamespace(), raising=False)
    assert 'which this mmcv does not have' in why_no_baseline(method, level)


def test_without_operators_that_can_be_called(monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmcv._ext', MissingOperators('mmcv-lite'))
    assert why_no_baseline('psanet', 'head') == "mmseg's needs PSAMask of an mmcv with compiled ops"
    assert why_no_baseline('carafe', 'block') == "mmseg's needs CARAFEPack of an mmcv with compiled ops"
    # PyTorch's own operators are all that it calls.
    monkeypatch.setitem(sys.modules, 'mmcv.ops', SimpleNamespace(CrissCrossAttention=CrissCrossEquation))
    monkeypatch.setattr('mmcv.ops', sys.modules['mmcv.ops'], raising=False)
    assert why_no_baseline('ccnet', 'head') is None


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize(('method', 'parameter'), [
    ('non_local', 'nl_block.theta.conv.weight'), ('danet', 'pam.query_project.weight'),
    ('isanet', 'global_relation.key_project.1.conv.weight'), ('emanet', 'ema_mid_conv.conv.weight'),
    ('apcnet', 'acm_modules.3.gla.weight')])
def test_a_small_error_in_the_attention_is_found(method, parameter, training):
    ours, theirs = build_pair(method, head_config(method, **SMALL))
    with torch.no_grad():
        weight = theirs.head.get_parameter(parameter)
        weight += 1e-3 * weight.std() * torch.randn_like(weight)
    with pytest.raises(WrongResultError, match=r"differs from mmseg's in float64 by .* of its norm, more than"):
        check_against_baseline(ours, theirs, CPU, training, tolerance(method))


class Scale(nn.Module):
    """``weight x``, its gradient for the weight ``factor`` times what it should be."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.7]))
        self.factor = factor

    def forward(self, x):
        return (self.weight.detach() + self.factor * (self.weight - self.weight.detach())) * x


@pytest.mark.parametrize(('ours', 'theirs', 'what'), [
    (Scale(), Scale(1 + 1e-6), 'gradients of the parameters'),
    (nn.BatchNorm2d(3), nn.BatchNorm2d(3, momentum=0.1001), 'output 0 in evaluation afterwards')])
def test_an_error_that_only_a_step_of_training_shows(ours, theirs, what):
    pair = Case(None, [ours], 3), Case(None, [theirs], 3)
    assert check_against_baseline(*pair, CPU, training=False) == 0
    with pytest.raises(WrongResultError, match=f"{what} differs from mmseg's in float64"):
        check_against_baseline(*pair, CPU, training=True)


class Compiled(Scale):

    def forward(self, x):
        if x.dtype == torch.float64:
            raise RuntimeError('expected scalar type Float but found Double')
        return super().forward(x)


def test_a_baseline_without_double_is_compared_in_single_precision():
    ours, theirs = Case(None, [Scale()], 3), Case(None, [Compiled()], 3)
    assert check_against_baseline(ours, theirs, CPU, training=True) == 0
    theirs.blocks[0].weight.data *= 1.01
    with pytest.raises(WrongResultError, match=r"output 0 differs from mmseg's by 9\.9e-03"):
        check_against_baseline(ours, theirs, CPU, training=True)


class Shaky(nn.Module):
    """Rounds its input where it is not float64, in the output or only in the gradient."""

    def __init__(self, where, digits=2):
        super().__init__()
        self.where, self.digits = where, digits

    def forward(self, x):
        if x.dtype == torch.float64:
            return x.square()
        rounded = x.round(decimals=self.digits)
        return rounded.square() + (x - x.detach()) if self.where == 'output' else x.square() + x - x.detach()


@pytest.mark.parametrize('where', ['output', 'gradient'])
def test_single_precision_is_compared_with_double(where):
    case = Case(None, [Shaky(where)], 3)
    with pytest.raises(WrongResultError, match=f'{where}.* differs from float64 on the CPU'):
        check_against_double(case, CPU, training=where == 'gradient')


def test_a_gradient_that_is_not_finite():
    class Root(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return x + self.weight.sqrt()

    with pytest.raises(WrongResultError, match=r'the gradient of blocks.0.weight is not finite'):
        check_against_double(Case(None, [Root()], 3), CPU, training=True)


@pytest.mark.parametrize('method', methods())
def test_every_head_in_double(method):
    case = Case(randomize(build_head(head_config(method, **SMALL))))
    before = {k: v.clone() for k, v in case.state_dict().items()}
    for training in (False, True):
        assert 0 < check_against_double(case, CPU, training) < 1e-3
    for name, value in case.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize('method', ['apcnet', 'danet'])
def test_several_blocks_in_double(method):
    case = attention_of(randomize(build_head(head_config(method, **SMALL))))
    assert 0 < check_against_double(case, CPU, training=True) < 1e-3


def test_dropout_does_not_disturb():
    config = head_config('isanet', **SMALL) | dict(dropout_ratio=0.9)
    assert check_against_double(Case(build_head(config)), CPU, training=True) < 1e-3
