"""Multiply-adds, by formula, by mmengine's counter, and of ours against mmseg's."""

import pytest
import torch
from mmengine.analysis import get_model_complexity_info
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmseg_attn.attention import NonLocal
from mmseg_attn.benchmark import flops
from mmseg_attn.benchmark.baselines import build_pair
from mmseg_attn.benchmark.cases import Case, attention_of, build_head, head_config
from mmseg_attn.benchmark.flops import count_flops
from mmseg_attn.benchmark.settings import methods

SMALL = dict(in_channels=64, channels=16)


@pytest.mark.parametrize('size', [(3, 5), (17, 20)])
def test_non_local_by_its_formula(size):
    pixels, channels, width = size[0] * size[1], 16, 8
    expected = pixels * (3 * channels * width + width * channels) + 2 * pixels**2 * width
    assert count_flops(NonLocal(channels), [(1, channels, *size)])[''] == expected
    assert count_flops(NonLocal(channels), [(3, channels, *size)])[''] == 3 * expected


def test_mmengine_counts_the_same_convolutions():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 1, groups=2))
    theirs = get_model_complexity_info(model, (3, 20, 30), show_table=False, show_arch=False)
    assert count_flops(model, [(1, 3, 20, 30)])[''] == theirs['flops']


@pytest.mark.parametrize('method', ['apcnet', 'danet', 'emanet', 'isanet', 'non_local'])
def test_ours_has_as_many_as_that_of_mmseg(method):
    ours, theirs = build_pair(method, head_config(method, **SMALL))
    shapes = ours.shapes(1, (17, 20))
    # mmseg's DAHead computes the side classifiers in evaluation too.
    more = 2 * 16 * 19 * 17 * 20 if method == 'danet' else 0
    assert count_flops(theirs, shapes)[''] == count_flops(ours, shapes)[''] + more


@pytest.mark.parametrize('method', [pytest.param(m, marks=() if m in ('danet', 'emanet') else pytest.mark.slow)
                                    for m in methods()])
def test_large_maps_are_counted_without_computing(method):
    head = build_head(head_config(method, **SMALL))
    for case in Case(head), attention_of(head):
        small, large = (count_flops(case, case.shapes(1, size))[''] for size in ((64, 128), (256, 512)))
        assert 0 < 15 * small < large


def test_the_fused_attention_of_the_cpu():
    class Attention(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x)

    with FlopCounterMode(display=False) as counter:
        Attention()(torch.randn(1, 1, 40, 8))
    assert counter.get_total_flops() == 0, 'PyTorch counts it by now: flops._counter can go'
    assert count_flops(Attention(), [(2, 3, 40, 8)])[''] == 2 * 3 * 2 * 40 * 40 * 8


def test_submodules():
    head = build_head(head_config('ccnet', **SMALL)).train()
    found = count_flops(Case(head), [(1, 64, 9, 7)])
    parts = {name: number for name, number in found.items() if name.startswith('head.') and name.count('.') == 1}
    assert list(parts) == ['head.in_conv', 'head.attention', 'head.out_conv', 'head.cat_conv', 'head.conv_seg']
    assert sum(parts.values()) == found['head'] == found['']
    assert parts['head.in_conv'] == 64 * 16 * 9 * 63
    assert head.training


class Chosen(nn.Module):
    """What it computes depends on the numbers."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 1)

    def forward(self, x):
        return self.conv(x) if x.sum().item() < 1e9 else x


def test_what_depends_on_the_numbers_is_computed():
    assert count_flops(Chosen(), [(1, 2, 5, 4)])[''] == 2 * 3 * 20


def test_compiled_operators_are_computed(monkeypatch):
    monkeypatch.setattr(Chosen, '__module__', 'mmcv.ops.chosen')
    monkeypatch.setattr(flops, 'FakeTensorMode', lambda: pytest.fail('has no numbers to read'))
    assert count_flops(nn.Sequential(Chosen()), [(1, 2, 5, 4)])[''] == 2 * 3 * 20
