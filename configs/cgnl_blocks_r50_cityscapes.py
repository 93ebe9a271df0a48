# The one block of the authors' released networks: before the last residual block of the third of the four stages.
_base_ = '_base_/fcn_r50_cityscapes.py'
block = dict(type='mmseg_attn.CompactGeneralizedNonLocal')
model = dict(backbone=dict(after_blocks=[dict(cfg=block, blocks=((), (), (-2,), ()))]))
