# CCNet on Cityscapes by its authors' recipe (speedinghzl/CCNet, README), 8 images in all.
# docs/methods/ccnet.md lists its source and where this is not the same.
_base_ = '_base_/cityscapes.py'

crop_size = (769, 769)
act_cfg = dict(type='LeakyReLU', negative_slope=0.01)
model = dict(
    pretrained='open-mmlab://resnet101_v1c',
    data_preprocessor=dict(size=crop_size),
    backbone=dict(depth=101, contract_dilation=False),
    decode_head=dict(
        type='mmseg_attn.CCHead',
        align_corners=True,
        # At least 100,000 pixels of the two images of a GPU.
        sampler=dict(type='OHEMPixelSampler', thresh=0.7, min_kept=50000),
        loss_decode=dict(_delete_=True, type='mmseg_attn.PixelCrossEntropyLoss')),
    auxiliary_head=dict(
        channels=512,
        act_cfg=act_cfg,
        align_corners=True,
        loss_decode=dict(_delete_=True, type='mmseg_attn.PixelCrossEntropyLoss', loss_weight=0.4)),
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(513, 513)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomChoiceResize',
        scales=[(int(2048 * r / 10), int(1024 * r / 10)) for r in range(7, 22)],
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

optim_wrapper = dict(optimizer=dict(weight_decay=1e-4))
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=0.9, begin=0, end=60000, by_epoch=False)]
train_cfg = dict(max_iters=60000, val_interval=6000)
default_hooks = dict(checkpoint=dict(interval=6000))
