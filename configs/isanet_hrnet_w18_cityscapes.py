_base_ = '_base_/hrnet_w18.py'
model = dict(decode_head=dict(type='mmseg_attn.ISAHead'))
