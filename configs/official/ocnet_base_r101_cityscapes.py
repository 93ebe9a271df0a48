# The network of openseg-group/OCNet.pytorch's release, for its converted weights.
_base_ = '../ocnet_r101_cityscapes.py'
model = dict(
    pretrained=None,
    # A slip of the authors that their weights were trained with: RGB images, less the mean in the order BGR.
    data_preprocessor=dict(mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0], bgr_to_rgb=True),
    backbone=dict(type='mmseg_attn.CeilPoolResNetV1c', stem_channels=128))
