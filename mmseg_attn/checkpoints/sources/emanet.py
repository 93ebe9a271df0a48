"""XiaLiPKU/EMANet."""

from ..plan import CheckpointSource, ConversionInput, Plan

HEAD = {
    'fc0.conv': 'in_conv.conv', 'fc0.bn': 'in_conv.bn', 'emau.mu': 'attention.bases', 'emau.conv1': 'attention.in_conv',
    'emau.conv2.0': 'attention.out_conv', 'emau.conv2.1': 'attention.norm', 'fc1.0.conv': 'bottleneck.conv',
    'fc1.0.bn': 'bottleneck.bn', 'fc2': 'conv_seg'
}
BACKBONE = ({f'extractor.0.{i}': f'backbone.stem.{i}' for i in (0, 1, 3, 4, 6)} | {'extractor.1': 'backbone.stem.7'}
            | {f'extractor.{i + 3}': f'backbone.layer{i}' for i in range(1, 5)})


def plan(given: ConversionInput) -> Plan:
    _, ema_channels, num_bases = given.state['emau.mu'].shape
    return Plan('official/emanet_r101_voc.py', BACKBONE | {k: f'decode_head.{v}' for k, v in HEAD.items()},
                settings={'decode_head.ema_channels': ema_channels, 'decode_head.num_bases': num_bases})


SOURCES = (CheckpointSource(('official',), 'emanet', 'XiaLiPKU/EMANet',
                            ('emau.mu', 'fc0.conv.weight', 'fc2.weight'), plan),)
