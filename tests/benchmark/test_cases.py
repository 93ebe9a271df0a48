"""What is built for a method."""

import pytest
import torch
from torch import nn

from mmseg_attn.benchmark.cases import Case, attention_of, build_head, head_config, randomize
from mmseg_attn.benchmark.settings import methods
from mmseg_attn.common.shipped import configs_folder

SMALL = dict(in_channels=64, channels=16)
BLOCKS = dict(apcnet=4, danet=2)


def test_methods_are_those_with_a_config():
    assert methods() == sorted(path.stem for path in (configs_folder() / 'metafiles').glob('*.yml'))
    assert 'emanet' in methods()


@pytest.mark.parametrize('method', methods())
def test_head_and_block(method):
    head = build_head(head_config(method, **SMALL)).eval()
    x = Case(head).inputs(2, (6, 8))
    logits, = Case(head)(*x)
    assert logits.shape == (2, 19, 12, 16) if method == 'carafe' else (2, 19, 6, 8)
    block = attention_of(head)
    outputs = block(*block.inputs(1, (6, 8)))
    assert len(outputs) == BLOCKS.get(method, 1)
    assert {len(out.shape) for out in outputs} == {4}
    assert sum(p.numel() for p in block.parameters()) < sum(p.numel() for p in head.parameters())


def test_widths_of_the_configs():
    for method in methods():
        config = head_config(method)
        last = config['in_channels'] if isinstance(config['in_channels'], int) else config['in_channels'][-1]
        assert (last, config['num_classes']) == (2048, 19)
        assert config['channels'] == 256 if method == 'emanet' else 512
    assert head_config('emanet', channels=64) | dict(ema_channels=64, channels=32) == head_config('emanet', channels=64)


def test_inputs_of_several_stages_have_the_size_of_their_stride():
    case = Case(build_head(head_config('carafe', **SMALL)))
    assert case.shapes(3, (9, 7)) == [(3, 8, 18, 14), (3, 16, 9, 7), (3, 32, 5, 4), (3, 64, 3, 2)]


def test_no_synchronised_norms():
    names = {type(m).__name__ for method in methods() for m in build_head(head_config(method, **SMALL)).modules()}
    assert not [name for name in names if 'SyncBatchNorm' in name]


def test_side_classifiers_are_results_of_training_only():
    case = Case(build_head(head_config('danet', **SMALL)))
    x = case.inputs(2, (5, 4))
    assert [len(case.train(training)(*x)) for training in (False, True)] == [1, 3]


def test_random_weights():
    norm = nn.BatchNorm2d(3)
    module = nn.Sequential(nn.Conv2d(2, 3, 1), norm)
    module.gamma = nn.Parameter(torch.zeros(1))
    randomize(module)
    for tensor in (*module.parameters(), norm.running_mean, norm.running_var):
        assert tensor.unique().numel() == tensor.numel()
        assert (tensor != 0).all()
