"""OCHead against both official codes."""

import pytest
import torch

from mmseg_attn.checkpoints.sources.ocnet import asp_names, base_names, pyramid_names
from mmseg_attn.models.heads import OCHead
from tests.helpers import GOLDEN, assert_matches_golden

RELU = dict(act_cfg=dict(type='ReLU'))
OPENSEG_BASE = dict(context_cfg=dict(shared_query=False))
OPENSEG_ASP = dict(context='asp', context_cfg=dict(shared_query=False, value_channels=4, context_conv=False))

CASES = {
    'base': (dict(), base_names('context', 'context.2', '', True)),
    'base_size2': (dict(context_cfg=dict(sizes=(2,))), base_names('context', 'context.2', '', True)),
    'pyramid': (dict(context='pyramid'), pyramid_names(4)),
    'asp': (dict(context='asp'), asp_names('', True)),
    'openseg_base': (OPENSEG_BASE | RELU, base_names('oc_module_pre', 'oc_module', '.0', False)),
    'openseg_base_inplaceabn': (OPENSEG_BASE, base_names('oc_module_pre', 'oc_module', '', False)),
    'openseg_asp': (OPENSEG_ASP | RELU, asp_names('.0', False)),
}


@pytest.mark.parametrize('name', CASES)
def test_ocnet_output_and_gradients(golden, name):
    arguments, names = CASES[name]
    official = golden(f'ocnet_{name}')
    channels = official['config']['channels']
    if 'openseg' not in name:
        # There the projection to queries is that to keys, stored a second time.
        official['state_dict'] = {k: v for k, v in official['state_dict'].items() if '.f_query.' not in k}
    head = OCHead(24, channels, num_classes=5, in_index=0, norm_cfg=dict(type='BN'), **arguments)
    assert_matches_golden(head, official, names, call=lambda head, x: head([x]))
    for case in official.get('cases', []):
        torch.testing.assert_close(head.float()([case['input']]), case['output'], **GOLDEN)


@pytest.mark.parametrize(('context', 'dropout_ratio'), [('base', 0.05), ('pyramid', 0.05), ('asp', 0.1)])
def test_ocnet_defaults_are_official(context, dropout_ratio):
    head = OCHead(12, 8, num_classes=4, context=context)
    assert head.dropout_ratio == dropout_ratio
    assert head.in_conv.conv.bias is not None
    assert head.in_conv.with_activation == (context != 'pyramid')
    assert OCHead(12, 8, num_classes=4, context=context, dropout_ratio=0).dropout is None


def test_an_unknown_context():
    with pytest.raises(ValueError, match=r"context must be one of .* got 'global'"):
        OCHead(12, 8, num_classes=4, context='global')
