# The network of speedinghzl/CCNet's release, for its converted weights.
_base_ = '../ccnet_r101_cityscapes.py'
model = dict(
    pretrained=None,
    data_preprocessor=dict(mean=[104.00698793, 116.66876762, 122.67891434], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(type='mmseg_attn.CeilPoolResNetV1c', stem_channels=128))
