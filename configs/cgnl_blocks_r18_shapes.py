_base_ = '_base_/fcn_shapes.py'
block = dict(type='mmseg_attn.CompactGeneralizedNonLocal')
model = dict(backbone=dict(after_blocks=[dict(cfg=block, blocks=((), (0, 1)))]))
