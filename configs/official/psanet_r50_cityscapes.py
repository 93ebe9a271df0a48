_base_ = 'psanet_r101_cityscapes.py'
model = dict(backbone=dict(depth=50))
