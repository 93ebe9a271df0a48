_base_ = 'psanet_r101_ade20k.py'
model = dict(backbone=dict(depth=50))
