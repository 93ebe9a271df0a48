_base_ = '_base_/timm_convnext_t.py'
model = dict(decode_head=dict(type='mmseg_attn.CCHead'))
