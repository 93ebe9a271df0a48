# The three units of the authors' better network, in the third of the four stages, with as many nodes as it is wide.
_base_ = '_base_/fcn_r50_cityscapes.py'
block = dict(type='mmseg_attn.GlobalReasoning', num_nodes=256,
             norm_cfg=dict(type='SyncBN', requires_grad=True, eps=1e-4))
model = dict(backbone=dict(after_blocks=[dict(cfg=block, blocks=((), (), (0, 2, 4), ()))]))
