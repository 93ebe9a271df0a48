_base_ = '_base_/vit_b16.py'
model = dict(decode_head=dict(type='mmseg_attn.DAHead'))
