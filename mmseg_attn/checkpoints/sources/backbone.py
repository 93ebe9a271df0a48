"""ResNets of the official codes in mmseg's names. Inside a block the names are the same."""

LAYERS = range(1, 5)
# The three convolutions of the deep stem, with their norms, in mmseg's stem: conv 0, norm 1, ReLU 2, conv 3, ...
STEM = {'conv1': '0', 'bn1': '1', 'conv2': '3', 'bn2': '4', 'conv3': '6', 'bn3': '7'}

FC = 'the classifier of ImageNet'


def deep_resnet(stem: str = '', layers: str = '') -> dict[str, str]:
    """Names of a ResNet whose stem is conv1, bn1 ... bn3 after the prefix ``stem``."""
    return ({f'{stem}{theirs}': f'backbone.stem.{ours}' for theirs, ours in STEM.items()}
            | {f'{layers}layer{i}': f'backbone.layer{i}' for i in LAYERS})


def auxiliary(conv: str, norm: str, cls: str) -> dict[str, str]:
    """Names of an auxiliary head in those of mmseg's FCNHead."""
    return {conv: 'auxiliary_head.convs.0.conv', norm: 'auxiliary_head.convs.0.bn', cls: 'auxiliary_head.conv_seg'}


# mmseg's FCNHead has no bias before its norm.
AUXILIARY_BIAS = {'auxiliary_head.convs.0.conv': 'auxiliary_head.convs.0.bn'}
