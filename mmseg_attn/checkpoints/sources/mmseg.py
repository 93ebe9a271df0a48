"""mmsegmentation: its heads of the methods that it has, with any of its backbones."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from mmseg_attn.common.errors import UserError

from ..config_text import literals_of
from ..model import model_config
from ..plan import CheckpointSource, ConversionInput, Plan, StateDict, count_keys, psa_branches, square_side
from ..trust import check_types, without_loading
from .conv_module import conv_module_names, norm_names, told_layers

Value = TypeVar('Value')

# Everything but the decode head keeps its name.
UNCHANGED_PREFIXES = {name: name for name in ('backbone', 'neck', 'auxiliary_head')}

DANET = {'pam_in_conv': 'in_conv', 'pam.gamma.scale': 'attention.gamma', 'pam.query_project': 'attention.query',
         'pam.key_project': 'attention.key', 'pam.value_project': 'attention.value', 'pam_out_conv': 'out_conv',
         'cam_in_conv': 'channel_in_conv', 'cam.gamma.scale': 'channel_attention.gamma',
         'cam_out_conv': 'channel_out_conv', 'pam_conv_seg': 'position_conv_seg', 'cam_conv_seg': 'channel_conv_seg',
         'conv_seg': 'conv_seg'}
CCNET = {'convs.0': 'in_conv', 'cca.gamma': 'attention.gamma', 'cca.gamma.scale': 'attention.gamma',
         'cca.query_conv': 'attention.query', 'cca.key_conv': 'attention.key', 'cca.value_conv': 'attention.value',
         'convs.1': 'out_conv', 'conv_cat': 'cat_conv', 'conv_seg': 'conv_seg'}
EMANET = {'ema_in_conv': 'in_conv', 'ema_module.bases': 'attention.bases', 'ema_mid_conv.conv': 'attention.in_conv',
          'ema_out_conv.conv': 'attention.out_conv', 'bottleneck': 'bottleneck', 'conv_cat': 'cat_conv',
          'conv_seg': 'conv_seg', **norm_names('ema_out_conv', 'attention.norm')}
NON_LOCAL_BLOCK = {
    'g.conv': 'value', 'g.0.conv': 'value', 'theta.conv': 'query', 'phi.conv': 'key', 'phi.0.conv': 'key',
    'conv_out.conv': 'out_conv', 'concat_project.conv': 'concat_project', **norm_names('conv_out', 'norm')}
NON_LOCAL = {'convs.0': 'in_conv', 'convs.1': 'out_conv', 'conv_cat': 'cat_conv', 'conv_seg': 'conv_seg',
             **{f'nl_block.{k}': f'attention.{v}' for k, v in NON_LOCAL_BLOCK.items()}}
APC_BLOCK = {
    'gla': 'affinity', **conv_module_names('pooled_redu_conv', 'pooled_conv'),
    **conv_module_names('input_redu_conv', 'in_conv'), **conv_module_names('global_info', 'global_conv'),
    **conv_module_names('residual_conv', 'residual_conv'), **conv_module_names('fusion_conv', 'fusion_conv')}


def psanet_names(psa_type: str) -> dict[str, str]:
    names = {'bottleneck': 'bottleneck', 'conv_seg': 'conv_seg', **conv_module_names('proj', 'attention.proj')}
    for suffix, direction in psa_branches(psa_type).items():
        ours = f'attention.{direction}'
        names |= {f'attention{suffix}.1': f'{ours}.mask', **conv_module_names(f'reduce{suffix}', f'{ours}.reduce'),
                  **conv_module_names(f'attention{suffix}.0', f'{ours}.attention')}
    return names


def apcnet_names(num_scales: int) -> dict[str, str]:
    return {'bottleneck': 'bottleneck', 'conv_seg': 'conv_seg',
            **{f'acm_modules.{i}.{k}': f'attention.{i}.{v}' for i in range(num_scales) for k, v in APC_BLOCK.items()}}


def isanet_names() -> dict[str, str]:
    names = {'in_conv': 'in_conv', 'conv_seg': 'conv_seg', **conv_module_names('out_conv', 'attention.out_conv')}
    for theirs, ours in {'global_relation': 'long_range', 'local_relation': 'short_range'}.items():
        ours = f'attention.stages.0.{ours}'
        for projection in 'key', 'query':
            for i in range(2):
                names |= conv_module_names(f'{theirs}.{projection}_project.{i}', f'{ours}.{projection}.{i}')
        names |= {f'{theirs}.value_project': f'{ours}.value',
                  **conv_module_names(f'{theirs}.output_project', f'{ours}.out_conv')}
    return names


def _psanet_settings(head: StateDict, given: dict) -> dict:
    settings: dict[str, Any] = {
        'psa_type': 'bi-direction' if 'reduce_p.conv.weight' in head else given.get('psa_type', 'collect'),
        'crop_size': None}
    if 'mask_size' not in given:
        settings['mask_size'] = square_side(head['attention.1.weight'], 'decode_head.attention.1.weight')
    return settings


def _ccnet_settings(head: StateDict, _: dict) -> dict:
    return {'concat_input': 'conv_cat.conv.weight' in head}


def _isanet_settings(head: StateDict, _: dict) -> dict:
    return {'isa_channels': head['global_relation.key_project.0.conv.weight'].shape[0]}


def _danet_settings(head: StateDict, _: dict) -> dict:
    settings = {'pam_channels': head['pam.query_project.weight'].shape[0]}
    return settings | (dict(num_classes=2, out_channels=1) if _is_binary(head, 'pam_conv_seg') else {})


def _is_binary(head: StateDict, side_classifier: str) -> bool:
    """Whether it is a DAHead of ``out_channels=1``, whose side classifiers mmseg gives an output for each class."""
    return len(head['conv_seg.weight']) == 1 and len(head[f'{side_classifier}.weight']) == 2


def _danet_notes(head: StateDict) -> tuple[str, ...]:
    if not _is_binary(head, 'pam_conv_seg'):
        return ()
    return ("With out_channels=1 the side classifiers of mmseg's DAHead have an output for each of the two classes, "
            'ours only that of class 1: the other is left out. They serve in training alone.',)


def _apcnet_settings(head: StateDict, given: dict) -> dict:
    number = count_keys(head, 'acm_modules.{}.gla.weight')
    if number != 4 and 'pool_scales' not in given:
        raise UserError(f'there are {number} scales: give them as --cfg-options "model.decode_head.pool_scales=(1,2)"')
    return {'fusion': 'acm_modules.0.fusion_conv.conv.weight' in head}


def _emanet_settings(head: StateDict, _: dict) -> dict:
    ema_channels, num_bases = head['ema_module.bases'].shape[1:]
    return {'ema_channels': ema_channels, 'num_bases': num_bases, 'concat_input': 'conv_cat.conv.weight' in head}


def _non_local_settings(head: StateDict, _: dict) -> dict:
    value = head['nl_block.g.conv.weight']
    settings: dict[str, Any] = {
        'reduction': value.shape[1] // value.shape[0], 'concat_input': 'conv_cat.conv.weight' in head}
    if 'nl_block.concat_project.conv.weight' in head:
        settings['mode'] = 'concatenation'
    elif 'nl_block.theta.conv.weight' not in head:
        settings['mode'] = 'gaussian'
    return settings


def _swap_halves(state: StateDict) -> StateDict:
    """mmseg concatenates the context before the input, the official code and ours after it."""
    key = 'decode_head.attention.out_conv.conv.weight'
    return state | {key: torch.cat(state[key].chunk(2, dim=1)[::-1], dim=1)}


def _exchange_if_compact(arguments: dict) -> dict:
    """mmseg's PSAHead exchanges the directions where it is compact and has only one."""
    exchanged = dict(collect='distribute', distribute='collect') if arguments.get('compact') else {}
    return dict(arguments, psa_type=exchanged.get(arguments['psa_type'], arguments['psa_type']))


def _finish_danet(state: StateDict) -> StateDict:
    state = _gammas_as_vectors(state)
    for name in 'position_conv_seg', 'channel_conv_seg':
        if _is_binary(_of('decode_head', state), name):
            state |= {key: state[key][1:] for key in (f'decode_head.{name}.weight', f'decode_head.{name}.bias')}
    return state


def _gammas_as_vectors(state: StateDict) -> StateDict:
    return {key: value.reshape(1) if key.endswith('.gamma') else value for key, value in state.items()}


def _with_output_bias(state: StateDict) -> StateDict:
    """mmcv's block has no bias before its norm."""
    weight = state['decode_head.attention.out_conv.weight']
    return {'decode_head.attention.out_conv.bias': weight.new_zeros(weight.shape[0])} | state


@dataclass(frozen=True)
class _Head:
    """A head of mmseg.

    Args:
        type: its name, which is that of ours.
        signature_key: a key that only it has.
        conv: a convolution that has its norm and its activation.
        names: its prefix -> ours; takes the number of its scales or its psa_type.
        settings: (weights, given arguments) -> what the weights tell.
        ours: arguments of ours that make it mmseg's.
        defaults: mmseg's defaults that are not ours.
        unknown: what the weights do not tell.
        renamed: argument of mmseg -> argument of ours.
        corrected: arguments of mmseg -> those of ours that mean the same.
        finish: the last change of the weights, in our names.
        notes: weights -> what is not as the user may expect.
    """

    type: str
    signature_key: str
    conv: str
    names: Callable[[StateDict, dict], dict[str, str]]
    settings: Callable[[StateDict, dict], dict]
    ours: dict = field(default_factory=dict)
    defaults: dict = field(default_factory=dict)
    unknown: str = ''
    renamed: dict = field(default_factory=dict)
    corrected: Callable[[dict], dict] = lambda arguments: arguments
    finish: Callable[[StateDict], StateDict] = lambda state: state
    notes: Callable[[StateDict], tuple[str, ...]] = lambda head: ()


# What mmseg's CCHead and NLHead inherit, and the only values that have a counterpart here.
FCN_HEAD_ARGUMENTS = dict(kernel_size=3, dilation=1, num_convs=2)
RELU = dict(act_cfg=dict(type='ReLU'))
HEADS = {
    'psanet': _Head(
        'PSAHead', 'attention.1.weight', 'bottleneck', lambda _, settings: psanet_names(settings['psa_type']),
        _psanet_settings, ours=dict(mmseg_compatible=True),
        unknown='compact, shrink_factor, psa_softmax, normalization_factor', corrected=_exchange_if_compact),
    'danet': _Head(
        'DAHead', 'pam.query_project.weight', 'pam_in_conv', lambda *_: DANET, _danet_settings, finish=_finish_danet,
        notes=_danet_notes),
    'ccnet': _Head(
        'CCHead', 'cca.query_conv.weight', 'convs.0', lambda *_: CCNET, _ccnet_settings, defaults=RELU,
        unknown='recurrence', finish=_gammas_as_vectors),
    'isanet': _Head(
        'ISAHead', 'global_relation.value_project.weight', 'in_conv', lambda *_: isanet_names(), _isanet_settings,
        ours=dict(value_bias=True), defaults=RELU | dict(dropout_ratio=0.1), unknown='down_factor',
        renamed=dict(down_factor='down_factors'), finish=_swap_halves),
    'apcnet': _Head(
        'APCHead', 'acm_modules.0.gla.weight', 'bottleneck',
        lambda head, _: apcnet_names(count_keys(head, 'acm_modules.{}.gla.weight')), _apcnet_settings,
        unknown='pool_scales'),
    'emanet': _Head(
        'EMAHead', 'ema_module.bases', 'ema_in_conv', lambda *_: EMANET, _emanet_settings,
        ours=dict(renormalize_bases=True), defaults=dict(concat_input=True), unknown='num_stages'),
    'non_local': _Head(
        'NLHead', 'nl_block.conv_out.conv.weight', 'convs.0', lambda *_: NON_LOCAL, _non_local_settings,
        unknown='use_scale, mode', finish=_with_output_bias),
}
# Of the FCNHead that is the auxiliary head.
AUXILIARY_CONV = 'convs.0'


def _plan(method: str, given: ConversionInput) -> Plan:
    data = 'voc' if given.state['decode_head.conv_seg.weight'].shape[0] == 21 else 'cityscapes'
    nearest = f'{method}_r50_{data}.py'
    text = given.meta.get('cfg') or given.meta.get('config')
    config = literals_of(text) if isinstance(text, str) else {}
    if isinstance(config.get('model'), dict):
        return _plan_by_config(HEADS[method], given, nearest, config)
    return _plan_by_weights(HEADS[method], given, nearest, has_config=bool(text))


def _plan_by_config(head: _Head, given: ConversionInput, nearest: str, config: dict) -> Plan:
    model = config['model']
    check_types(model, 'the config in the file')
    model = without_loading(dict(model, decode_head=_our_head(head, model.get('decode_head'))))
    model.setdefault('data_preprocessor', _preprocessor(config) or model_config(nearest)['data_preprocessor'])
    weights = _of('decode_head', given.state)
    known = model['decode_head'] | _of('decode_head', given.settings)
    told = {k: v for k, v in head.settings(weights, known).items() if k not in known}
    model['decode_head'] = head.corrected(model['decode_head'] | told)
    usable = dict(config, model=model) if 'test_dataloader' in config else None
    notes = head.notes(weights)
    if not usable:
        notes += ('The config in the file is one of mmseg 0.x: its model is kept, its data are not.',)
    return Plan(nearest, _names(head, weights, model['decode_head']), finish=head.finish, notes=notes, model=model,
                source_config=usable)


def _plan_by_weights(head: _Head, given: ConversionInput, nearest: str, has_config: bool) -> Plan:
    weights, by_user = _of('decode_head', given.state), _of('decode_head', given.settings)
    layers = told_layers(weights, head.conv, by_user, 'decode_head')
    settings = head.corrected(dict(align_corners=False) | head.defaults | head.ours | layers
                              | head.settings(weights, by_user) | by_user)
    absent = ('The config in the file cannot be read without running it' if has_config
              else 'The file does not hold its config')
    unknown = [head.unknown, '' if 'act_cfg' in layers else 'act_cfg',
               'threshold' if len(weights['conv_seg.weight']) == 1 else '', 'conv_cfg', 'align_corners']
    notes = (f"{absent}, and the weights do not tell {', '.join(filter(None, unknown))}, the mean and deviation of the "
             "images, the backbone's dilations, nor whether images are tested whole: mmseg's defaults are taken.",)
    return Plan(
        nearest, _names(head, weights, settings), finish=head.finish, notes=head.notes(weights) + notes,
        settings={f'decode_head.{k}': v for k, v in settings.items()} | _other_settings(given))


def _of(part: str, values: dict[str, Value]) -> dict[str, Value]:
    return {k.removeprefix(f'{part}.'): v for k, v in values.items() if k.startswith(f'{part}.')}


def _names(head: _Head, weights: StateDict, settings: dict) -> dict[str, str]:
    names = head.names(weights, settings)
    return UNCHANGED_PREFIXES | {f'decode_head.{k}': f'decode_head.{v}' for k, v in names.items()}


def _preprocessor(config: dict) -> dict | None:
    """That of mmseg 1.x for a config of mmseg 0.x."""
    norm = config.get('img_norm_cfg')
    if not isinstance(norm, dict):
        return None
    return dict(type='SegDataPreProcessor', mean=norm['mean'], std=norm['std'], bgr_to_rgb=norm.get('to_rgb', True),
                pad_val=0, seg_pad_val=255)


def _our_head(head: _Head, theirs: object) -> dict:
    if not isinstance(theirs, dict) or str(theirs.get('type')).split('.')[-1] != head.type:
        raise UserError(f'the weights are those of a {head.type}, but the config in the file has the decode head '
                        f'{theirs!r}')
    for name, value in FCN_HEAD_ARGUMENTS.items():
        if theirs.get(name, value) != value:
            raise UserError(f'decode_head.{name}={theirs[name]} has no counterpart here, only {value} has')
    arguments = {head.renamed.get(k, k): v for k, v in theirs.items() if k not in FCN_HEAD_ARGUMENTS}
    return head.defaults | arguments | head.ours | dict(type=f'mmseg_attn.{head.type}')


def _other_settings(given: ConversionInput) -> dict:
    """Of the parts beside the decode head."""
    deep = 'backbone.stem.0.weight' in given.state
    auxiliary = RELU | dict(align_corners=False) | told_layers(
        _of('auxiliary_head', given.state), AUXILIARY_CONV, _of('auxiliary_head', given.settings), 'auxiliary_head')
    return {'backbone.type': 'ResNetV1c' if deep else 'ResNet', 'backbone.contract_dilation': True,
            'backbone.multi_grid': None, 'test_cfg': dict(mode='whole'),
            **{f'auxiliary_head.{k}': v for k, v in auxiliary.items()},
            **{k: v for k, v in given.settings.items() if not k.startswith('decode_head.')}}


def _source(method: str, head: _Head) -> CheckpointSource:
    return CheckpointSource(
        ('mmseg',), method, f"mmsegmentation's {head.type}",
        (f'decode_head.{head.signature_key}', 'decode_head.conv_seg.weight'), lambda given: _plan(method, given))


SOURCES = tuple(_source(method, head) for method, head in HEADS.items())
