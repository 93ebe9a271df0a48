_base_ = '_base_/shapes.py'
model = dict(decode_head=dict(type='mmseg_attn.SGRHead'))
