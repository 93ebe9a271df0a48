# The three blocks of the authors' best detectors, with their widths: behind the last residual blocks of three stages.
_base_ = '_base_/fcn_r50_cityscapes.py'
block = dict(type='mmseg_attn.LatentGNN', reduction=8, graph_conv=True,
             norm_cfg=dict(type='SyncBN', requires_grad=True))
model = dict(backbone=dict(after_blocks=[
    dict(cfg=dict(latent_dims=(150,), **block), blocks=((), (-1,), (), ())),
    dict(cfg=dict(latent_dims=(100,), **block), blocks=((), (), (-1,), ())),
    dict(cfg=dict(latent_dims=(50,), **block), blocks=((), (), (), (-1,))),
]))
