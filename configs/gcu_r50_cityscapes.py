_base_ = '_base_/cityscapes.py'
model = dict(decode_head=dict(type='mmseg_attn.GCUHead'))
