"""ResNet as the official codes of CCNet, OCNet and openseg have it."""

from mmseg.models.backbones.resnet import ResNetV1c

from mmseg_attn.registry import MODELS


@MODELS.register_module()
class CeilPoolResNetV1c(ResNetV1c):
    """mmseg's ResNetV1c with a max-pooling that rounds the size up.

    It differs where a side modulo 4 is 0 or 3: a map of 129 x 257 for an image of 1024 x 2048, instead of 128 x 256.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.maxpool.ceil_mode = True
