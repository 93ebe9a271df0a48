"""The model that weights are for: from a config, changed by what the weights tell, and whether the weights fit it."""

import inspect
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import nn

from mmseg_attn.common.config import without_timm_weights
from mmseg_attn.common.errors import UserError
from mmseg_attn.common.shipped import configs_folder

from .fit import check_weights
from .plan import StateDict, count_keys

# Blocks of the four stages -> depth of the ResNet, by whether a block has a third convolution.
DEPTHS: dict[tuple[int, ...], dict[bool, int]] = {
    (3, 4, 6, 3): {True: 50, False: 34}, (2, 2, 2, 2): {False: 18}, (3, 4, 23, 3): {True: 101},
    (3, 8, 36, 3): {True: 152}}
# Settings that change nothing in what the network computes in evaluation.
IGNORED_SETTINGS = {'init_cfg', 'pretrained', 'loss_decode', 'sampler', 'dropout_ratio', 'norm_eval', 'frozen_stages',
                    'with_cp', 'ignore_index'}
IGNORED_NORM_SETTINGS = {'requires_grad', 'momentum'}
PARTS = ('data_preprocessor', 'backbone', 'neck', 'decode_head', 'auxiliary_head', 'test_cfg')


def model_config(config: str) -> dict:
    """The model of a config, given relative to ``configs/``."""
    return deepcopy(_read_model(config))


@cache
def _read_model(config: str) -> dict:
    return Config.fromfile(configs_folder() / config).model.to_dict()


def read_sizes(state: StateDict) -> dict[str, Any]:
    """What the shapes of the weights tell of any model: depth and widths of a ResNet, classes and widths of the heads.

    Raises:
        UserError: the backbone is no ResNet, or the classifier is missing.
    """
    blocks = tuple(count_keys(state, f'backbone.layer{i}.{{}}.conv1.weight') for i in range(1, 5))
    depth = DEPTHS.get(blocks, {}).get('backbone.layer1.0.conv3.weight' in state)
    if depth is None:
        raise UserError(f'the backbone is no ResNet known here: it has {blocks} blocks in its four stages')
    first, last = state['backbone.layer1.0.conv1.weight'], f'backbone.layer4.{blocks[3] - 1}.conv'
    widths = [state[f'{last}{i}.weight'].shape[0] for i in (1, 2, 3) if f'{last}{i}.weight' in state]
    if any(key.startswith('auxiliary_head.0.') for key in state):
        raise UserError('there are several auxiliary heads, and no config that tells of them')
    sizes: dict[str, Any] = {
        'backbone.depth': depth, 'backbone.base_channels': first.shape[0], 'decode_head.in_channels': widths[-1],
        'backbone.stem_channels': first.shape[1]}
    for head in 'decode_head', 'auxiliary_head':
        classifier = state.get(f'{head}.conv_seg.weight')
        if classifier is None or classifier.ndim != 4:
            if head == 'decode_head':
                raise UserError('the classifier of the decode head is missing, or has no four dimensions')
            sizes[head] = None
            continue
        sizes[f'{head}.num_classes'], sizes[f'{head}.channels'] = classifier.shape[:2]
    conv = state.get('auxiliary_head.convs.0.conv.weight')
    if sizes.get('auxiliary_head', conv) is not None and conv is not None:
        sizes['auxiliary_head.in_channels'] = conv.shape[1]
    return sizes


def with_settings(model: dict, settings: dict[str, object]) -> dict:
    """A copy of ``model`` with 'part.name' -> value set, an auxiliary head added where there is none."""
    model = deepcopy(model)
    if settings.get('auxiliary_head', model) is None:
        settings = {path: value for path, value in settings.items() if not path.startswith('auxiliary_head.')}
    for path, value in sorted(settings.items()):
        *parents, name = path.split('.')
        target = model
        for parent in parents:
            if target.get(parent) is None:
                target[parent] = model_config('_base_/resnet50_d8.py').get(parent) or {}
            target = target[parent]
            if not isinstance(target, dict):
                raise UserError(f'there is no setting {path}: {parent} is {target!r}')
        target[name] = value
    return model


def overrides_between(model: dict, wanted: dict) -> dict[str, object]:
    """What to set in ``model`` to make it compute what ``wanted`` does, as 'model.part.name' -> value."""
    found: dict[str, object] = {}
    for part in PARTS:
        _compare(model.get(part), wanted.get(part), f'model.{part}', found)
    if found and model.get('pretrained') and any(key.startswith('model.backbone') for key in found):
        found['model.pretrained'] = None
    return found


def _compare(model: object, wanted: object, path: str, found: dict) -> None:
    if not isinstance(model, dict) or not isinstance(wanted, dict) or path.endswith(('_cfg', '.norm', '.activation')):
        if _comparable(model) != _comparable(wanted):
            found[path] = wanted
        return
    for name in wanted.keys() | model.keys():
        if name in IGNORED_SETTINGS or (path == 'model.data_preprocessor' and name in ('type', 'size')):
            continue
        ours, theirs = (part.get(name, _default(part, name)) for part in (model, wanted))
        _compare(ours, theirs, f'{path}.{name}', found)


def _default(part: dict, name: str) -> object:
    """What the class that ``part`` names takes for an argument that is not given."""
    from mmseg_attn.registry import MODELS
    init_default_scope('mmseg')
    cls = MODELS.get(part['type']) if 'type' in part else None
    for base in getattr(cls, '__mro__', ()):
        parameter = inspect.signature(base.__init__).parameters.get(name)
        if parameter is not None and parameter.default is not inspect.Parameter.empty:
            return parameter.default
    return None


def _comparable(value: object) -> object:
    if isinstance(value, dict):
        value = {k: _comparable(v) for k, v in value.items() if k not in IGNORED_NORM_SETTINGS}
        return dict(value, type='BN') if value.get('type') == 'SyncBN' else value
    return [_comparable(v) for v in value] if isinstance(value, list | tuple) else value


def check_fit(model: dict, state: StateDict, what: str) -> None:
    """Builds the model and compares its parameters with ``state``.

    Raises:
        UserError: the model cannot be built, or keys are missing, unexpected or of another shape.
    """
    try:
        expected = build_empty(dict(model, pretrained=None)).state_dict()
    except (TypeError, ValueError, AssertionError, KeyError) as error:
        raise UserError(f'{what}: the model cannot be built: {error}') from error
    check_weights(state, expected, what)


def build_empty(model: dict) -> nn.Module:
    """The model of a config, for its names and shapes: where its backbone allows it without any numbers."""
    from mmseg_attn.registry import MODELS
    init_default_scope('mmseg')
    model = deepcopy(model)
    without_timm_weights(model)
    try:
        with torch.device('meta'):
            return MODELS.build(model)
    except RuntimeError:
        # Swin, MiT, ViT and ConvNeXt read the rates of dropped paths off a tensor.
        return MODELS.build(model)
