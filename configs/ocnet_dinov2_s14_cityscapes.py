_base_ = '_base_/dinov2_s14.py'
model = dict(decode_head=dict(type='mmseg_attn.OCHead'))
