_base_ = '_base_/mobilenet_v2.py'
model = dict(decode_head=dict(type='mmseg_attn.EMAHead', channels=256))
