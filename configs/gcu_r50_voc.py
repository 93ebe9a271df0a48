_base_ = '_base_/voc.py'
model = dict(decode_head=dict(type='mmseg_attn.GCUHead'))
