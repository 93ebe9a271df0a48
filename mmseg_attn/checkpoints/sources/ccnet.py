"""speedinghzl/CCNet."""

from ..plan import CheckpointSource, ConversionInput, Plan
from .backbone import AUXILIARY_BIAS, auxiliary, deep_resnet

HEAD = {
    'conva.0': 'in_conv.conv', 'conva.1': 'in_conv.bn', 'cca.gamma': 'attention.gamma',
    'cca.query_conv': 'attention.query', 'cca.key_conv': 'attention.key', 'cca.value_conv': 'attention.value',
    'convb.0': 'out_conv.conv', 'convb.1': 'out_conv.bn', 'bottleneck.0': 'cat_conv.conv',
    'bottleneck.1': 'cat_conv.bn', 'bottleneck.3': 'conv_seg'
}


def plan(given: ConversionInput) -> Plan:
    settings = {}
    inner = given.state['head.conva.0.weight'].shape[0]
    if inner != given.state['head.bottleneck.0.weight'].shape[0]:
        settings['decode_head.inner_channels'] = inner
    return Plan(
        'official/ccnet_r101_cityscapes.py',
        deep_resnet() | auxiliary('dsn.0', 'dsn.1', 'dsn.3')
        | {f'head.{k}': f'decode_head.{v}' for k, v in HEAD.items()},
        settings=settings, inplace_abn=True, folded=AUXILIARY_BIAS,
        notes=('The number of recurrences is not in the weights; the authors train with 2.',))


SOURCES = (CheckpointSource(('official',), 'ccnet', 'speedinghzl/CCNet',
                            ('head.cca.query_conv.weight', 'head.conva.0.weight', 'head.bottleneck.0.weight'), plan),)
