# The five blocks of the paper: two in the second of the four stages, three in the third.
_base_ = '_base_/fcn_r50_cityscapes.py'
block = dict(type='mmseg_attn.DoubleAttention', norm_cfg=dict(type='SyncBN', requires_grad=True))
model = dict(backbone=dict(after_blocks=[dict(cfg=block, blocks=((), (1, 3), (1, 3, 5), ()))]))
