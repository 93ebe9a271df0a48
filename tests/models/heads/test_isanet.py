"""ISAHead against the official code and mmseg's head with copied weights."""

import pytest
import torch
from mmseg.models import ISAHead as MMSegISAHead

from mmseg_attn.checkpoints.sources.mmseg import isanet_names
from mmseg_attn.checkpoints.sources.openseg import isa_names
from mmseg_attn.models.heads import ISAHead
from tests.helpers import GOLDEN, assert_matches_golden, randomize, rename

OFFICIAL = {'isa_head.0': 'in_conv.conv', 'isa_head.1.0': 'in_conv.bn', 'cls_head': 'conv_seg',
            **{f'isa_head.2.{k}': f'attention.{v}' for k, v in isa_names('.0').items()}}


def _rename_mmseg(tensors):
    """mmseg concatenates the context before the input, the official code and ours after it."""
    renamed = rename(tensors, isanet_names())
    weight = renamed['attention.out_conv.conv.weight']
    return renamed | {'attention.out_conv.conv.weight': torch.cat(weight.chunk(2, dim=1)[::-1], dim=1)}


def test_isanet_output_and_gradients(golden):
    head = ISAHead(24, 16, num_classes=5, isa_channels=8, in_index=0, norm_cfg=dict(type='BN'),
                   act_cfg=dict(type='ReLU'))
    assert_matches_golden(head, golden('isa_head'), OFFICIAL, call=lambda head, x: head([x]))


@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('norm_cfg', [dict(type='BN'), dict(type='GN', num_groups=2), dict(type='IN'), None], ids=str)
def test_isanet_of_mmseg(norm_cfg, training):
    arguments = dict(num_classes=4, in_index=0, dropout_ratio=0, isa_channels=4, norm_cfg=norm_cfg)
    theirs = randomize(MMSegISAHead(in_channels=12, channels=8, down_factor=(4, 3), **arguments)).double()
    ours = ISAHead(12, 8, down_factors=(4, 3), value_bias=True, act_cfg=dict(type='ReLU'), **arguments).double()
    ours.load_state_dict(_rename_mmseg(theirs.state_dict()))
    x = torch.randn(2, 12, 9, 13, dtype=torch.float64)
    outputs = [head.train(training)([x]) for head in (ours, theirs)]
    torch.testing.assert_close(*outputs, **GOLDEN)
    cotangent = torch.randn_like(outputs[0])
    for out in outputs:
        out.backward(cotangent)
    gradients = _rename_mmseg({name: p.grad for name, p in theirs.named_parameters()})
    assert gradients.keys() == {name for name, _ in ours.named_parameters()}
    for name, gradient in gradients.items():
        torch.testing.assert_close(ours.get_parameter(name).grad, gradient, **GOLDEN, msg=lambda m, n=name: f'{n}: {m}')
    for name, value in _rename_mmseg(theirs.state_dict()).items():
        torch.testing.assert_close(ours.state_dict()[name], value, **GOLDEN)


def test_isanet_takes_the_factor_under_its_name_in_mmseg():
    assert ISAHead(12, 8, num_classes=4, down_factor=(4, 3)).attention.stages[0].factor == (4, 3)
    with pytest.raises(ValueError, match='not both'):
        ISAHead(12, 8, num_classes=4, down_factor=(4, 3), down_factors=(4, 3))


def test_isanet_defaults_are_official():
    head = ISAHead(12, 8, num_classes=4)
    assert head.dropout_ratio == 0.05
    assert isinstance(head.in_conv.activate, torch.nn.LeakyReLU)
    assert head.in_conv.activate.negative_slope == 0.01
