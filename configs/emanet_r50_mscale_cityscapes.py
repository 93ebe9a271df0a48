# Scales, fusion and supervision are those of NVIDIA's scripts for Cityscapes; network and schedule are ours, the house
# recipe. docs/multi_scale.md lists in what theirs differs.
_base_ = 'emanet_r50_cityscapes.py'
model = dict(
    type='mmseg_attn.MultiScaleEncoderDecoder',
    fusion='hierarchical',
    train_scales=(0.5, 1.0),
    test_scales=(0.5, 1.0, 2.0),
    supervision=0.05)
