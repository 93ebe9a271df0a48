"""openseg-group/openseg.pytorch: ISANet, and Base-OC and ASP-OC with projections of their own for queries and keys."""

from mmseg_attn.common.errors import UserError

from ..plan import CheckpointSource, ConversionInput, Plan, StateDict, count_keys
from . import ocnet
from .backbone import AUXILIARY_BIAS, auxiliary, deep_resnet

RELU = dict(type='ReLU')
BACKBONE = deep_resnet(stem='backbone.resinit.', layers='backbone.')
DESCRIPTION = 'openseg-group/openseg.pytorch'


def isa_names(norm: str, num_factors: int = 1) -> dict[str, str]:
    """Names of ISA's block; ``norm`` is what stands after a norm's number, '.0' with the norms of PyTorch."""
    names = ocnet.conv_norm('conv_bn', 'out_conv', norm)
    if num_factors > 1:
        names |= ocnet.conv_norm('up_conv', 'up_conv', norm)
    for i in range(num_factors):
        for theirs, ours in {'long_range_sa': 'long_range', 'short_range_sa': 'short_range'}.items():
            theirs, ours = f'stages.{i}.{theirs}', f'stages.{i}.{ours}'
            names |= ocnet.attention(theirs, ours, norm, shared_query=False)
            del names[f'{theirs}.W']
            names |= ocnet.conv_norm(f'{theirs}.W', f'{ours}.out_conv', norm)
    return names


def plan_isa(given: ConversionInput) -> Plan:
    state = given.state
    norm = _norm(state, 'isa_head.1')
    names = ocnet.conv_norm('isa_head', 'in_conv', norm, 'bn') | {'cls_head': 'conv_seg'}
    num_factors = count_keys(state, 'isa_head.2.stages.{}.long_range_sa.f_value.weight')
    if num_factors > 1 and 'decode_head.down_factors' not in given.settings:
        raise UserError(f'there are {num_factors} factors: give them as '
                        '--cfg-options "model.decode_head.down_factors=((8,8),(4,4))"')
    names |= {f'isa_head.2.{k}': f'attention.{v}' for k, v in isa_names(norm, num_factors).items()}
    return _plan(given, 'isanet', names, norm, 'dsn_head',
                 ("The factors are not in the weights; the authors' release has one, 8 x 8.",))


def plan_base(given: ConversionInput) -> Plan:
    norm = _norm(given.state, 'oc_module_pre.1')
    names = ocnet.base_names('oc_module_pre', 'oc_module', norm, False, ocnet.num_sizes(given, 'oc_module'))
    return _plan(given, 'ocnet_base', names, norm, 'dsn')


def plan_asp(given: ConversionInput) -> Plan:
    norm = _norm(given.state, 'context.1')
    plan = _plan(given, 'ocnet_asp', ocnet.asp_names(norm, shared_query=False), norm, 'dsn')
    value = given.state['context.2.context.2.stages.0.f_value.weight']
    plan.settings['decode_head.context_cfg.value_channels'] = value.shape[0]
    return plan


def _norm(state: StateDict, key: str) -> str:
    return '.0' if f'{key}.0.weight' in state else ''


def _plan(given: ConversionInput, network: str, names: dict[str, str], norm: str, dsn: str,
          notes: tuple[str, ...] = ()) -> Plan:
    # Where there is a dropout before it, the classifier has the number 3.
    cls = 2 if f'{dsn}.2.weight' in given.state else 3
    # With the norms of PyTorch, openseg puts ReLU after them, with InPlaceABN a leaky one.
    settings = {'decode_head.act_cfg': RELU, 'auxiliary_head.act_cfg': RELU} if norm else {}
    return Plan(
        f'official/openseg_{network}_r101_cityscapes.py',
        BACKBONE | auxiliary(f'{dsn}.0', f'{dsn}.1{norm}', f'{dsn}.{cls}')
        | {k: f'decode_head.{v}' for k, v in names.items()},
        settings=settings, inplace_abn=not norm, folded=AUXILIARY_BIAS, notes=notes)


SOURCES = (
    CheckpointSource(('openseg', 'official'), 'isanet', DESCRIPTION,
                     ('isa_head.0.weight', 'cls_head.weight'), plan_isa),
    CheckpointSource(('openseg',), 'ocnet', DESCRIPTION, ('oc_module_pre.0.weight', 'cls.weight'), plan_base),
    CheckpointSource(('openseg',), 'ocnet', DESCRIPTION,
                     ('context.2.context.2.stages.0.f_query.2.weight', 'backbone.resinit.conv1.weight', 'cls.weight'),
                     plan_asp),
)
