# Attention over scales on the built-in data (docs/multi_scale.md): 1.25 times the pixels of emanet_r18_shapes.py.
_base_ = 'emanet_r18_shapes.py'
model = dict(
    type='mmseg_attn.MultiScaleEncoderDecoder',
    train_scales=(0.5, 1.0),
    test_scales=(0.5, 1.0, 2.0),
    attention_channels=64)
