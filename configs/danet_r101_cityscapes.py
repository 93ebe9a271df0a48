# DANet on Cityscapes by its authors' recipe (junfu1115/DANet at 97f0c42), 8 images in all.
# docs/methods/danet.md lists its source and where this is not the same.
_base_ = '_base_/cityscapes.py'

crop_size = (768, 768)
model = dict(
    pretrained='torchvision://resnet101',
    data_preprocessor=dict(size=crop_size),
    backbone=dict(type='ResNet', depth=101, multi_grid=(4, 8, 16)),
    decode_head=dict(
        type='mmseg_attn.DAHead',
        align_corners=True,
        loss_decode=dict(_delete_=True, type='mmseg_attn.PixelCrossEntropyLoss')),
    auxiliary_head=None,
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(512, 512)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.75, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# The head learns ten times as fast.
optim_wrapper = dict(
    optimizer=dict(lr=0.003, weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'decode_head': dict(lr_mult=10.0)}))
# 240 epochs.
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=0.9, begin=0, end=89000, by_epoch=False)]
train_cfg = dict(max_iters=89000, val_interval=8900)
default_hooks = dict(checkpoint=dict(interval=8900))
