_base_ = '_base_/voc.py'
model = dict(
    backbone=dict(dilations=(1, 1, 1, 1), strides=(1, 2, 2, 2)),
    decode_head=dict(
        type='mmseg_attn.CARAFEUPerHead', in_channels=[256, 512, 1024, 2048], in_index=[0, 1, 2, 3]))
