# CARAFE itself looks no further than a convolution; the pooled maps of UPerNet's head see the whole image.
_base_ = '_base_/shapes.py'
model = dict(
    backbone=dict(out_indices=(0, 1)),
    decode_head=dict(type='mmseg_attn.CARAFEUPerHead', in_channels=[64, 128], in_index=[0, 1], strides=(4, 8)))
