# ISA on Cityscapes by its authors' recipe (openseg.pytorch, run_r_101_d_8_isa_train.sh), 8 images in all.
# docs/methods/isanet.md lists its source and where this is not the same.
_base_ = '_base_/cityscapes.py'

act_cfg = dict(type='LeakyReLU', negative_slope=0.01)
model = dict(
    pretrained='open-mmlab://resnet101_v1c',
    backbone=dict(depth=101),
    decode_head=dict(
        type='mmseg_attn.ISAHead',
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
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size={{_base_.crop_size}}),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=0.9, begin=0, end=40000, by_epoch=False)]
train_cfg = dict(max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
