_base_ = '_base_/shapes.py'
model = dict(decode_head=dict(type='mmseg_attn.PSAHead', crop_size=(160, 160)))
