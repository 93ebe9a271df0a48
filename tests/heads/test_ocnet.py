"""OCHead against both official codes."""

import pytest
import torch

from mmseg_attn.heads import OCHead
from tests.helpers import GOLDEN, assert_matches_golden


def _attention(theirs, ours, norm, shared_query=True):
    """Names of an attention; ``norm`` stands after a norm's number ('.0' with the norms of PyTorch)."""
    names = {f'{theirs}.f_value': f'{ours}.value', f'{theirs}.W': f'{ours}.out_conv'}
    if shared_query:
        return names | {f'{theirs}.f_key.0': f'{ours}.key.conv', f'{theirs}.f_key.1{norm}': f'{ours}.key.norm'}
    for projection in 'key', 'query':
        for i in range(2):
            names[f'{theirs}.f_{projection}.{2 * i}'] = f'{ours}.{projection}.{i}.conv'
            names[f'{theirs}.f_{projection}.{2 * i + 1}{norm}'] = f'{ours}.{projection}.{i}.norm'
    return names


def _conv(theirs, ours, norm):
    return {f'{theirs}.0': f'{ours}.conv', f'{theirs}.1{norm}': f'{ours}.norm'}


def _head_names(in_conv, norm):
    return {f'{in_conv}.0': 'in_conv.conv', f'{in_conv}.1{norm}': 'in_conv.bn', 'cls': 'conv_seg'}


def _base_names(in_conv, module, norm, shared_query):
    return (_head_names(in_conv, norm) | _conv(f'{module}.conv_bn_dropout', 'attention.out_conv', norm)
            | _attention(f'{module}.stages.0', 'attention.stages.0', norm, shared_query))


def _asp_names(norm, shared_query):
    module = 'context.2'
    names = _head_names('context', norm) | _conv(f'{module}.context', 'attention.in_conv', norm)
    names |= _attention(f'{module}.context.2.stages.0', 'attention.context', norm, shared_query)
    last = f'{module}.context.2.conv_bn_dropout'
    names |= _conv(last, 'attention.context_conv', norm) if shared_query else {
        f'{last}.0{norm}': 'attention.context_conv.norm'}
    for i in range(4):
        names |= _conv(f'{module}.conv{2 + i}', f'attention.convs.{i}', norm)
    return names | _conv(f'{module}.conv_bn_dropout', 'attention.out_conv', norm)


PYRAMID = (_head_names('layer5', '') | _conv('context.conv_bn_dropout', 'attention.out_conv', '')
           | _conv('context.up_dr', 'attention.up_conv', ''))
for i in range(4):
    PYRAMID |= _attention(f'context.stages.{i}', f'attention.stages.{i}', '')

RELU = dict(act_cfg=dict(type='ReLU'))
OPENSEG_BASE = dict(context_cfg=dict(shared_query=False))
OPENSEG_ASP = dict(context='asp', context_cfg=dict(shared_query=False, value_channels=4, context_conv=False))

CASES = {
    'base': (dict(), _base_names('context', 'context.2', '', True)),
    'base_size2': (dict(context_cfg=dict(sizes=(2,))), _base_names('context', 'context.2', '', True)),
    'pyramid': (dict(context='pyramid'), PYRAMID),
    'asp': (dict(context='asp'), _asp_names('', True)),
    'openseg_base': (OPENSEG_BASE | RELU, _base_names('oc_module_pre', 'oc_module', '.0', False)),
    'openseg_base_inplaceabn': (OPENSEG_BASE, _base_names('oc_module_pre', 'oc_module', '', False)),
    'openseg_asp': (OPENSEG_ASP | RELU, _asp_names('.0', False)),
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
