# Base-OC on ADE20K by the recipe of openseg.pytorch (configs/ade20k/R_101_D_8.json), 16 images in all.
# docs/methods/ocnet.md lists its source and where this is not the same.
_base_ = '_base_/ade20k.py'

crop_size = (520, 520)
act_cfg = dict(type='LeakyReLU', negative_slope=0.01)
model = dict(
    pretrained='open-mmlab://resnet101_v1c',
    data_preprocessor=dict(size=crop_size),
    backbone=dict(depth=101),
    decode_head=dict(
        type='mmseg_attn.OCHead',
        align_corners=True,
        loss_decode=dict(_delete_=True, type='mmseg_attn.PixelCrossEntropyLoss')),
    auxiliary_head=dict(
        channels=512,
        dropout_ratio=0.05,
        act_cfg=act_cfg,
        align_corners=True,
        loss_decode=dict(_delete_=True, type='mmseg_attn.PixelCrossEntropyLoss', loss_weight=0.4)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomFlip', prob=0.5),
    # The shorter side to 520 pixels, then by 0.5 to 2.
    dict(type='RandomResize', scale=(100000, 520), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(100000, 520), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

optim_wrapper = dict(optimizer=dict(lr=0.02, weight_decay=1e-4))
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=0.9, begin=0, end=150000, by_epoch=False)]
train_cfg = dict(max_iters=150000, val_interval=10000)
default_hooks = dict(checkpoint=dict(interval=10000))
