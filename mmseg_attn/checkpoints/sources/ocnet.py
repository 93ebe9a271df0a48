"""openseg-group/OCNet.pytorch: Base-OC, Pyramid-OC and ASP-OC with one projection for queries and keys."""

from mmseg_attn.common.errors import UserError

from ..plan import CheckpointSource, ConversionInput, Plan, count_keys
from .backbone import AUXILIARY_BIAS, auxiliary, deep_resnet


def attention(theirs: str, ours: str, norm: str, shared_query: bool) -> dict[str, str]:
    """Names of one attention; ``norm`` is what stands after a norm's number, '.0' with the norms of PyTorch."""
    names = {f'{theirs}.f_value': f'{ours}.value', f'{theirs}.W': f'{ours}.out_conv'}
    if shared_query:
        return names | {f'{theirs}.f_key.0': f'{ours}.key.conv', f'{theirs}.f_key.1{norm}': f'{ours}.key.norm'}
    for projection in 'key', 'query':
        for i in range(2):
            names[f'{theirs}.f_{projection}.{2 * i}'] = f'{ours}.{projection}.{i}.conv'
            names[f'{theirs}.f_{projection}.{2 * i + 1}{norm}'] = f'{ours}.{projection}.{i}.norm'
    return names


def conv_norm(theirs: str, ours: str, norm: str = '', name: str = 'norm') -> dict[str, str]:
    return {f'{theirs}.0': f'{ours}.conv', f'{theirs}.1{norm}': f'{ours}.{name}'}


def base_names(in_conv: str, module: str, norm: str, shared_query: bool, num_sizes: int = 1) -> dict[str, str]:
    names = (conv_norm(in_conv, 'in_conv', norm, 'bn') | {'cls': 'conv_seg'}
             | conv_norm(f'{module}.conv_bn_dropout', 'attention.out_conv', norm))
    for i in range(num_sizes):
        names |= attention(f'{module}.stages.{i}', f'attention.stages.{i}', norm, shared_query)
    return names


def num_sizes(given: ConversionInput, module: str) -> int:
    """How many contexts Base-OC sums. With several their sizes are not in the weights."""
    number = count_keys(given.state, f'{module}.stages.{{}}.W.weight')
    if number > 1 and 'decode_head.context_cfg.sizes' not in given.settings:
        raise UserError(f'there are contexts of {number} sizes: give them as '
                        '--cfg-options "model.decode_head.context_cfg.sizes=(1,2)"')
    return number


def asp_names(norm: str, shared_query: bool) -> dict[str, str]:
    module = 'context.2'
    names = (conv_norm('context', 'in_conv', norm, 'bn') | {'cls': 'conv_seg'}
             | conv_norm(f'{module}.context', 'attention.in_conv', norm)
             | conv_norm(f'{module}.conv_bn_dropout', 'attention.out_conv', norm)
             | attention(f'{module}.context.2.stages.0', 'attention.context', norm, shared_query))
    last = f'{module}.context.2.conv_bn_dropout'
    names |= conv_norm(last, 'attention.context_conv', norm) if shared_query else {
        f'{last}.0{norm}': 'attention.context_conv.norm'}
    for i in range(4):
        names |= conv_norm(f'{module}.conv{2 + i}', f'attention.convs.{i}', norm)
    return names


def pyramid_names(num_sizes: int) -> dict[str, str]:
    names = (conv_norm('layer5', 'in_conv', name='bn') | {'cls': 'conv_seg'}
             | conv_norm('context.conv_bn_dropout', 'attention.out_conv')
             | conv_norm('context.up_dr', 'attention.up_conv'))
    for i in range(num_sizes):
        names |= attention(f'context.stages.{i}', f'attention.stages.{i}', '', shared_query=True)
    return names


def plan(given: ConversionInput) -> Plan:
    state = given.state
    dropped = {}
    for key in state:
        if '.f_query.' in key:
            if not state[key].equal(state.get(key.replace('.f_query.', '.f_key.'), state[key].new_empty(0))):
                raise UserError(f'{key} differs from the key projection, which in OCNet.pytorch is the same module; '
                                'is this a file of openseg (--source openseg)?')
            dropped[key] = 'the projection of keys, stored twice'
    if 'layer5.0.weight' in state:
        kind, names = 'pyramid', pyramid_names(count_keys(state, 'context.stages.{}.W.weight'))
    elif 'context.2.context.0.weight' in state:
        kind, names = 'asp', asp_names('', shared_query=True)
    else:
        kind, names = 'base', base_names('context', 'context.2', '', True, num_sizes(given, 'context.2'))
    return Plan(
        f'official/ocnet_{kind}_r101_cityscapes.py',
        deep_resnet() | auxiliary('dsn.0', 'dsn.1', 'dsn.3') | {k: f'decode_head.{v}' for k, v in names.items()},
        dropped=dropped, inplace_abn=True, folded=AUXILIARY_BIAS)


def _source(signature_key: str) -> CheckpointSource:
    return CheckpointSource(('official',), 'ocnet', 'openseg-group/OCNet.pytorch',
                            (signature_key, 'conv1.weight', 'cls.weight'), plan)


SOURCES = tuple(_source(f'{module}.f_key.0.weight') for module in (
    'context.2.stages.0', 'context.stages.0', 'context.2.context.2.stages.0'))
