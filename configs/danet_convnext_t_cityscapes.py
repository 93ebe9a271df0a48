_base_ = '_base_/convnext_t.py'
model = dict(decode_head=dict(type='mmseg_attn.DAHead'))
