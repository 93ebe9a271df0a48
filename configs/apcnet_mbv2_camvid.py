_base_ = '_base_/mbv2_camvid.py'
model = dict(decode_head=dict(type='mmseg_attn.APCHead'))
