"""junfu1115/DANet."""

from ..plan import CheckpointSource, ConversionInput, Plan
from .backbone import FC, LAYERS

HEAD = {
    'conv5a.0': 'in_conv.conv', 'conv5a.1': 'in_conv.bn', 'sa.gamma': 'attention.gamma',
    'sa.query_conv': 'attention.query', 'sa.key_conv': 'attention.key', 'sa.value_conv': 'attention.value',
    'conv51.0': 'out_conv.conv', 'conv51.1': 'out_conv.bn', 'conv5c.0': 'channel_in_conv.conv',
    'conv5c.1': 'channel_in_conv.bn', 'sc': 'channel_attention', 'conv52.0': 'channel_out_conv.conv',
    'conv52.1': 'channel_out_conv.bn', 'conv6.1': 'position_conv_seg', 'conv7.1': 'channel_conv_seg',
    'conv8.1': 'conv_seg'
}


def plan(given: ConversionInput) -> Plan:
    deep = 'pretrained.conv1.0.weight' in given.state
    settings = {}
    names = {f'pretrained.layer{i}': f'backbone.layer{i}' for i in LAYERS}
    if deep:
        names |= {f'pretrained.conv1.{i}': f'backbone.stem.{i}' for i in (0, 1, 3, 4, 6)}
        names['pretrained.bn1'] = 'backbone.stem.7'
        settings['backbone.type'] = 'ResNetV1c'
    else:
        names |= {'pretrained.conv1': 'backbone.conv1', 'pretrained.bn1': 'backbone.bn1'}
    names |= {f'head.{k}': f'decode_head.{v}' for k, v in HEAD.items()}
    return Plan(
        'official/danet_r101_cityscapes.py', names, dropped={'pretrained.fc': FC}, settings=settings,
        notes=('The dilations of the last stage are not in the weights; those of the authors\' release are 4, 8, 16.',))


SOURCES = (CheckpointSource(('official',), 'danet', 'junfu1115/DANet',
                            ('head.conv5a.0.weight', 'head.sa.query_conv.weight', 'head.sc.gamma'), plan),)
