"""A2Head against its two published structures, written out."""

import pytest
import torch
from torch import nn

from mmseg_attn.attention import DoubleAttention
from mmseg_attn.models.heads import A2Head
from tests.helpers import GOLDEN, randomize, rename

COMMON = dict(num_classes=4, in_index=0, norm_cfg=dict(type='BN'))


def _conv_bn_relu(in_channels, channels, bias=False):
    return nn.Sequential(nn.Conv2d(in_channels, channels, 3, padding=1, bias=bias), nn.BatchNorm2d(channels), nn.ReLU())


def _names(**stages):
    names = {'block': 'attention', 'classifier': 'conv_seg'}
    return names | {f'{theirs}.{i}': f'{ours}.{layer}'
                    for theirs, ours in stages.items() for i, layer in enumerate(('conv', 'bn'))}


def _step(module, x):
    out = module(x)
    gradients = torch.autograd.grad(out.square().mean(), list(module.parameters()))
    return out, dict(zip((name for name, _ in module.named_parameters()), gradients, strict=True))


def _assert_same(ours, theirs, names, x):
    ours.load_state_dict(rename(theirs.state_dict(), names))
    for training in (False, True):
        out, gradients = _step(ours.train(training), [x])
        expected, expected_gradients = _step(theirs.train(training), x)
        torch.testing.assert_close(out, expected, **GOLDEN)
        expected_gradients = rename(expected_gradients, names)
        assert gradients.keys() == expected_gradients.keys()
        for name, gradient in expected_gradients.items():
            torch.testing.assert_close(gradients[name], gradient, **GOLDEN, msg=name)


class _Openseg(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.stem = _conv_bn_relu(12, 8, bias=True)
        self.block = DoubleAttention(8, fusion='cat', num_maps=3, scale=scale)
        self.classifier = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        return self.classifier(self.block(self.stem(x)))


class _NonLocalStructure(nn.Module):
    def __init__(self, concat_input):
        super().__init__()
        self.stem, self.after = _conv_bn_relu(12, 8), _conv_bn_relu(8, 8)
        self.block = DoubleAttention(8, value_channels=5)
        if concat_input:
            self.join = _conv_bn_relu(20, 8)
        self.concat_input = concat_input
        self.classifier = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        out = self.after(self.block(self.stem(x)))
        return self.classifier(self.join(torch.cat([x, out], dim=1)) if self.concat_input else out)


@pytest.mark.parametrize('scale', [1, 2])
def test_a2head_of_openseg(scale):
    theirs = randomize(_Openseg(scale))
    ours = A2Head(12, 8, fusion='cat', num_maps=3, scale=scale, dropout_ratio=0, **COMMON)
    _assert_same(ours, theirs, _names(stem='in_conv'), torch.randn(2, 12, 9, 13))


@pytest.mark.parametrize('concat_input', [False, True])
def test_a2head_in_the_structure_of_nlhead(concat_input):
    theirs = randomize(_NonLocalStructure(concat_input))
    ours = A2Head(12, 8, value_channels=5, concat_input=concat_input, dropout_ratio=0, **COMMON)
    names = _names(stem='in_conv', after='out_conv', join='cat_conv')
    _assert_same(ours, theirs, names, torch.randn(2, 12, 9, 13))
