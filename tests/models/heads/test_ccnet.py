"""CCHead against the official code and mmseg's head with copied weights."""

import pytest
import torch
from mmseg.models import CCHead as MMSegCCHead
from mmseg.models.decode_heads import cc_head
from torch import nn

from mmseg_attn.checkpoints.sources.ccnet import HEAD as OFFICIAL
from mmseg_attn.checkpoints.sources.mmseg import CCNET as MMSEG
from mmseg_attn.models.heads import CCHead
from tests.helpers import GOLDEN, assert_matches_golden, randomize, rename


def _official_head(golden, **kwargs):
    config = golden['config']
    return CCHead(config['in_channels'], config['out_channels'], num_classes=config['num_classes'], in_index=0,
                  inner_channels=config['inter_channels'], norm_cfg=dict(type='BN'), **kwargs)


def test_ccnet_output_and_gradients(golden):
    official = golden('ccnet_head')
    # The official gradients leave the largest weight out.
    ours = _official_head(official)
    ours.cat_conv.conv.weight.requires_grad_(False)
    assert_matches_golden(ours, official, OFFICIAL, call=lambda head, x: head([x]))


@pytest.mark.parametrize('recurrence', [0, 1, 3])
def test_ccnet_recurrence(golden, recurrence):
    official = golden('ccnet_head')
    head = _official_head(official, recurrence=max(recurrence, 1)).eval()
    head.load_state_dict(rename(official['state_dict'], OFFICIAL))
    if recurrence == 0:
        nn.init.zeros_(head.attention.gamma)
    torch.testing.assert_close(head([official['input']]), official[f'out_R{recurrence}'], **GOLDEN)


class CrissCrossEquation(nn.Module):
    """mmcv's equation; its own module needs mmcv with compiled operations."""

    def __init__(self, channels):
        super().__init__()
        self.query_conv = nn.Conv2d(channels, channels // 8, 1)
        self.key_conv = nn.Conv2d(channels, channels // 8, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.gamma * self.context(x) + x

    def context(self, x):
        height, width = x.shape[-2:]
        row, column = (t.flatten() for t in torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij'))
        on_the_cross = (row[:, None] == row) | (column[:, None] == column)
        logits = torch.einsum('bci,bcj->bij', self.query_conv(x).flatten(2), self.key_conv(x).flatten(2))
        weights = logits.masked_fill(~on_the_cross, float('-inf')).softmax(2)
        context = torch.einsum('bij,bcj->bci', weights, self.value_conv(x).flatten(2))
        return context.unflatten(2, (height, width))


COMMON = dict(num_classes=4, in_index=0, dropout_ratio=0, norm_cfg=dict(type='BN'))


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('recurrence', [1, 2])
@pytest.mark.parametrize('concat_input', [False, True])
def test_ccnet_of_mmseg(monkeypatch, training, recurrence, concat_input):
    monkeypatch.setattr(cc_head, 'CrissCrossAttention', CrissCrossEquation)
    arguments = dict(recurrence=recurrence, concat_input=concat_input, **COMMON)
    theirs = randomize(MMSegCCHead(in_channels=12, channels=8, **arguments)).train(training)
    ours = CCHead(12, 8, act_cfg=dict(type='ReLU'), **arguments).train(training)
    ours.load_state_dict(rename(theirs.state_dict(), MMSEG))
    x = [torch.randn(2, 12, 9, 13)]
    outputs = [head(x) for head in (ours, theirs)]
    torch.testing.assert_close(*outputs, **GOLDEN)
    for out in outputs:
        out.square().mean().backward()
    gradients = rename({k: p.grad for k, p in theirs.named_parameters()}, MMSEG)
    assert gradients.keys() == {k for k, _ in ours.named_parameters()}
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours.get_parameter(name).grad, gradient, **GOLDEN, msg=name)


def test_inner_channels_without_the_concatenation():
    head = CCHead(12, 8, inner_channels=16, concat_input=False, **COMMON)
    assert head([torch.randn(2, 12, 9, 13)]).shape == (2, 4, 9, 13)
    assert head.attention.value.out_channels == 16
