# HRNet-W18; all its maps, resized to stride 4: four times the pixels of stride 8.
_base_ = 'cityscapes.py'

model = dict(
    pretrained='open-mmlab://msra/hrnetv2_w18',
    backbone=dict(
        _delete_=True,
        type='HRNet',
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        norm_eval=False,
        extra=dict(
            stage1=dict(num_modules=1, num_branches=1, block='BOTTLENECK', num_blocks=(4, ), num_channels=(64, )),
            stage2=dict(num_modules=1, num_branches=2, block='BASIC', num_blocks=(4, 4), num_channels=(18, 36)),
            stage3=dict(num_modules=4, num_branches=3, block='BASIC', num_blocks=(4, 4, 4), num_channels=(18, 36, 72)),
            stage4=dict(
                num_modules=3, num_branches=4, block='BASIC', num_blocks=(4, 4, 4, 4),
                num_channels=(18, 36, 72, 144)))),
    decode_head=dict(in_channels=[18, 36, 72, 144], in_index=[0, 1, 2, 3], input_transform='resize_concat'),
    auxiliary_head=None)
