# FCN, which cannot see the key, on a backbone that takes blocks behind its residual blocks.
_base_ = 'shapes.py'
model = dict(
    backbone=dict(type='mmseg_attn.ResNetV1c'),
    decode_head=dict(type='FCNHead', num_convs=1, concat_input=False))
