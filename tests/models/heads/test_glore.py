"""GloReHead against the official code."""

import torch

from mmseg_attn.models.heads import GloReHead
from tests.attention.test_glore import OFFICIAL as BLOCK
from tests.helpers import assert_matches_golden

OFFICIAL = {'conv51.0': 'in_conv.conv', 'conv51.1': 'in_conv.bn', 'conv52.0': 'out_conv.conv',
            'conv52.1': 'out_conv.bn', 'conv6.1': 'conv_seg',
            **{f'gcn.GCN00.{k}': f'attention.{v}' for k, v in BLOCK.items()}}


def _head(golden, **kwargs):
    config = golden['config']
    return GloReHead(config['in_channels'], config['in_channels'] // 4, num_classes=config['out_channels'], in_index=0,
                     num_nodes=config['num_mid'], norm_cfg=dict(type='BN'), **kwargs)


def test_glorehead_output(golden):
    official = golden('glore_seg_head')
    assert_matches_golden(_head(official), official, OFFICIAL, call=lambda head, x: head([x]))


def test_glorehead_without_normalization(golden):
    official = golden('glore_seg_head')
    pixels = official['input'][0, 0].numel()
    for name in ('weight', 'bias'):
        official['state_dict'][f'gcn.GCN00.conv_state.{name}'] /= pixels
    assert_matches_golden(_head(official, normalize=False), official, OFFICIAL, call=lambda head, x: head([x]))


def test_glorehead_starts_as_the_official_network_does(golden):
    official = golden('glore_seg_head')
    assert torch.equal(_head(official).attention.norm.weight, torch.ones(8))
    assert torch.equal(_head(official, zero_init=True).attention.norm.weight, torch.zeros(8))
