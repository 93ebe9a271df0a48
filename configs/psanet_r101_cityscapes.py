# PSANet on Cityscapes by its authors' recipe (hszhao/semseg), 16 images in all: 8 GPUs of 2.
# docs/methods/psanet.md lists its source and where this is not the same.
_base_ = '_base_/cityscapes.py'

crop_size = (705, 705)
model = dict(
    pretrained='open-mmlab://resnet101_v1c',
    data_preprocessor=dict(size=crop_size),
    backbone=dict(depth=101, contract_dilation=False),
    decode_head=dict(
        type='mmseg_attn.PSAHead',
        crop_size=crop_size,
        align_corners=True,
        loss_decode=dict(_delete_=True, type='mmseg_attn.PixelCrossEntropyLoss')),
    auxiliary_head=dict(
        align_corners=True,
        loss_decode=dict(_delete_=True, type='mmseg_attn.PixelCrossEntropyLoss', loss_weight=0.4)),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(470, 470)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomRotate', prob=0.5, degree=10, pad_val=(103.53, 116.28, 123.675), seg_pad_val=255),
    dict(type='mmseg_attn.RandomGaussianBlur', prob=0.5, kernel_size=5),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# The new layers learn ten times as fast.
optim_wrapper = dict(
    optimizer=dict(weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'decode_head': dict(lr_mult=10.0), 'auxiliary_head': dict(lr_mult=10.0)}))
# 200 epochs.
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=0.9, begin=0, end=37200, by_epoch=False)]
train_cfg = dict(max_iters=37200, val_interval=3720)
default_hooks = dict(checkpoint=dict(interval=3720))
auto_scale_lr = dict(base_batch_size=16)
