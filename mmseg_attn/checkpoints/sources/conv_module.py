"""mmcv's ConvModule, of which mmseg's heads are made: its names, and what its weights tell."""

from collections.abc import Mapping

from mmseg_attn.common.errors import UserError

from ..plan import StateDict

# mmcv calls a norm by its kind.
NORMS = ('bn', 'gn', 'in', 'ln', 'norm_layer')


def norm_names(theirs: str, ours: str) -> dict[str, str]:
    """Names of the norm of the ConvModule ``theirs`` -> ``ours``."""
    return {f'{theirs}.{norm}': ours for norm in NORMS}


def conv_module_names(theirs: str, ours: str) -> dict[str, str]:
    """Names of a ConvModule -> those of a layer of our blocks."""
    return ({f'{theirs}.conv': f'{ours}.conv', f'{theirs}.activate': f'{ours}.act'}
            | norm_names(theirs, f'{ours}.norm'))


def told_layers(head: StateDict, conv: str, given: Mapping[str, object], part: str) -> dict[str, dict | None]:
    """``norm_cfg`` and ``act_cfg`` of a head, as far as they are not a BatchNorm and an activation without weights.

    Args:
        head: its weights.
        conv: the name of a ConvModule with the head's norm and activation.
        given: what the user says about the head.
        part: 'decode_head' or 'auxiliary_head', for the messages.

    Raises:
        UserError: the weights do not tell the norm, nor does the user.
    """
    names = {key.removeprefix(f'{conv}.') for key in head if key.startswith(f'{conv}.')}
    told: dict[str, dict | None] = {}
    if not names:
        return told
    if 'activate.weight' in names:
        told['act_cfg'] = dict(type='PReLU', num_parameters=len(head[f'{conv}.activate.weight']))
    norm = next((norm for norm in NORMS if any(name.startswith(f'{norm}.') for name in names)), None)
    if norm == 'bn':
        return told
    if norm == 'in':
        told['norm_cfg'] = dict(type='IN', affine='in.weight' in names, track_running_stats='in.running_mean' in names)
    elif norm is None and 'conv.bias' in names:
        told['norm_cfg'] = None
    elif not _has_norm(given):
        raise UserError(_question(norm, part))
    elif norm == 'gn':
        told['norm_cfg'] = dict(type='GN')
    return told


def _has_norm(given: Mapping[str, object]) -> bool:
    return any(key.split('.')[0] == 'norm_cfg' for key in given)


def _question(norm: str | None, part: str) -> str:
    setting = f'model.{part}.norm_cfg'
    if norm == 'gn':
        return (f'the norms of the {part} are GroupNorms, and their weights do not tell the number of groups: give it '
                f'as --cfg-options {setting}.num_groups=32')
    if norm is None:
        return (f'the convolutions of the {part} have neither biases nor norms with weights, so its norms are probably '
                f'InstanceNorms: if so, say --cfg-options {setting}.type=IN')
    return f'the weights do not tell of what kind the norms of the {part} are: say --cfg-options {setting}.type=...'
