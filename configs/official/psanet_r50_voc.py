_base_ = 'psanet_r101_voc.py'
model = dict(backbone=dict(depth=50))
