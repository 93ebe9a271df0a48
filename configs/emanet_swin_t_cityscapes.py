_base_ = '_base_/swin_t.py'
model = dict(decode_head=dict(type='mmseg_attn.EMAHead', channels=256))
