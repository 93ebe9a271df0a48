_base_ = '_base_/timm_dinov3_s16.py'
model = dict(decode_head=dict(type='mmseg_attn.OCHead'))
