# The network of openseg-group/openseg.pytorch's release, for its converted weights.
_base_ = '../isanet_r101_cityscapes.py'
model = dict(
    pretrained=None,
    data_preprocessor=dict(mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(type='mmseg_attn.CeilPoolResNetV1c', stem_channels=128))
