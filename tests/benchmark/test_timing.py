"""Rounds, runs and statistics; no times."""

import gc

import pytest
import torch

from mmseg_attn.benchmark.cases import Case, build_head, head_config
from mmseg_attn.benchmark.step import Step
from mmseg_attn.benchmark.timing import interleaved_times, quartiles, ratio

CPU = torch.device('cpu')


class Recorder:
    def __init__(self, name, log):
        self.name, self.log = name, log

    def prepare(self):
        self.log.append(f'prepare {self.name}')

    def __call__(self):
        assert not gc.isenabled()
        self.log.append(self.name)


def test_every_step_runs_once_in_a_round_in_changing_order():
    log, rounds = [], []
    steps = {name: Recorder(name, log) for name in 'abc'}
    times = interleaved_times(steps, 20, CPU, after_round=lambda: rounds.append(len(log)))
    assert gc.isenabled()
    assert {name: len(values) for name, values in times.items()} == dict(a=20, b=20, c=20)
    assert rounds == [6 * (i + 1) for i in range(20)]
    orders = [tuple(log[i + 1:i + 6:2]) for i in range(0, len(log), 6)]
    assert {tuple(sorted(order)) for order in orders} == {('a', 'b', 'c')}
    assert len(set(orders)) > 3
    assert all(log[i] == f'prepare {log[i + 1]}' for i in range(0, len(log), 2))


def test_an_error_leaves_the_garbage_collector_on():
    def fail():
        raise RuntimeError

    step = Recorder('a', [])
    step.prepare = fail
    with pytest.raises(RuntimeError):
        interleaved_times(dict(a=step), 1, CPU)
    assert gc.isenabled()


def test_statistics():
    assert quartiles([3.0]) == (3.0, 3.0, 3.0)
    assert quartiles([5.0, 1.0, 2.0, 4.0, 3.0]) == (2.0, 3.0, 4.0)
    # Whatever the rounds have in common cancels.
    assert ratio([2.0, 20.0, 200.0], [1.0, 10.0, 50.0]) == 2.0


@pytest.fixture
def case():
    return Case(build_head(head_config('glore', in_channels=16, channels=8)))


def test_a_forward(case):
    step = Step(case, case.inputs(1, (4, 5)), 'forward')
    seen = []
    case.register_forward_hook(lambda module, _, outputs: seen.append((module.training, *outputs)))
    step.prepare()
    step()
    (training, logits), = seen
    assert (training, logits.requires_grad, logits.dtype) == (False, False, torch.float32)


def test_a_forward_and_backward(case):
    step = Step(case, case.inputs(2, (4, 5)), 'forward+backward')
    step.prepare()
    step()
    first = [p.grad.clone() for p in case.parameters()] + [step.inputs[0].grad.clone()]
    assert all(grad.any() for grad in first)
    step.prepare()
    assert [p.grad for p in case.parameters()] + [step.inputs[0].grad] == [None] * len(first)
    assert case.training


def test_half_precision_is_that_of_autocast(case):
    step = Step(case, case.inputs(2, (4, 5)), 'forward+backward', torch.bfloat16)
    seen = []
    case.register_forward_hook(lambda *arguments: seen.append(arguments[2][0].dtype))
    step.prepare()
    step()
    assert seen == [torch.bfloat16]
    assert {p.grad.dtype for p in case.parameters()} == {torch.float32}
