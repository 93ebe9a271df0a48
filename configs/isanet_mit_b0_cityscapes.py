_base_ = '_base_/mit_b0.py'
model = dict(decode_head=dict(type='mmseg_attn.ISAHead'))
