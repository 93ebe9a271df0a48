# Base-OC on Cityscapes by its authors' recipe (openseg-group/OCNet.pytorch), 8 images in all.
# docs/methods/ocnet.md lists its source and where this is not the same.
_base_ = '_base_/cityscapes.py'

crop_size = (769, 769)
act_cfg = dict(type='LeakyReLU', negative_slope=0.01)
model = dict(
    pretrained='open-mmlab://resnet101_v1c',
    data_preprocessor=dict(size=crop_size),
    backbone=dict(depth=101, contract_dilation=False),
    decode_head=dict(
        type='mmseg_attn.OCHead',
        dropout_ratio=0.05,
        align_corners=True,
        loss_decode=dict(
            _delete_=True,
            type='mmseg_attn.PixelCrossEntropyLoss',
            class_weight={{_base_.class_weight}})),
    auxiliary_head=dict(
        channels=512,
        dropout_ratio=0.05,
        act_cfg=act_cfg,
        align_corners=True,
        loss_decode=dict(
            _delete_=True,
            type='mmseg_attn.PixelCrossEntropyLoss',
            class_weight={{_base_.class_weight}},
            loss_weight=0.4)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomChoiceResize',
        scales=[(int(2048 * r / 10), int(1024 * r / 10)) for r in range(5, 22)],
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=0.9, begin=0, end=40000, by_epoch=False)]
train_cfg = dict(max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
