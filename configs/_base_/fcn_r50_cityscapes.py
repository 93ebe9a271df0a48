# mmseg's FCN on a dilated ResNet-50, whose backbone takes blocks behind its residual blocks.
_base_ = 'cityscapes.py'
model = dict(
    backbone=dict(type='mmseg_attn.ResNetV1c'),
    decode_head=dict(type='FCNHead', num_convs=2, concat_input=True))
