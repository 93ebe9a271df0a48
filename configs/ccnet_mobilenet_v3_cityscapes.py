_base_ = '_base_/mobilenet_v3.py'
model = dict(decode_head=dict(type='mmseg_attn.CCHead'))
