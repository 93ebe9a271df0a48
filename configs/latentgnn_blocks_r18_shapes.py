_base_ = '_base_/fcn_shapes.py'
model = dict(backbone=dict(after_blocks=[dict(cfg=dict(type='mmseg_attn.LatentGNN'), blocks=((), (0, 1)))]))
