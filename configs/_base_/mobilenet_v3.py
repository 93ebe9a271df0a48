# MobileNetV3-Large, which mmseg dilates to stride 8.
_base_ = 'cityscapes.py'

model = dict(
    pretrained='open-mmlab://contrib/mobilenet_v3_large',
    backbone=dict(
        _delete_=True,
        type='MobileNetV3',
        arch='large',
        out_indices=(12, 16),
        norm_cfg=dict(type='SyncBN', eps=0.001, requires_grad=True)),
    decode_head=dict(in_channels=960, in_index=1),
    auxiliary_head=dict(in_channels=112, in_index=0))
