# CamVid as in the SegNet tutorial (480 x 360 pixels, 11 classes) with a MobileNetV2 that ImageNet has trained: real
# accuracy in about twenty minutes on one busy CPU core. The head sees the maps of strides 8, 16 and 32, resized to
# stride 8.
# Weights from a file: --cfg-options model.pretrained=PATH
_base_ = 'camvid.py'

crop_size = (256, 320)
max_iters = 600
norm_cfg = dict(type='BN', requires_grad=True)
# Square roots of the inverse frequencies in the training images, with a mean of 1 over the pixels. With equal weights
# poles and cyclists are hardly learnt.
class_weight = [0.88, 0.75, 3.64, 0.64, 1.7, 1.15, 3.33, 3.4, 1.49, 4.49, 6.71]

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(480, 360), ratio_range=(0.6, 1.4), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75, ignore_index=11),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=1)
test_dataloader = dict(num_workers=1)

model = dict(
    pretrained='mmcls://mobilenet_v2',
    data_preprocessor=dict(size=crop_size),
    backbone=dict(_delete_=True, type='MobileNetV2', out_indices=(2, 4, 6), norm_cfg=norm_cfg),
    decode_head=dict(
        in_channels=[32, 96, 320],
        in_index=[0, 1, 2],
        input_transform='resize_concat',
        norm_cfg=norm_cfg,
        loss_decode=dict(_delete_=True, type='mmseg_attn.PixelCrossEntropyLoss', class_weight=class_weight)),
    auxiliary_head=None)

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.3))))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, begin=0, end=50, by_epoch=False),
    dict(type='CosineAnnealingLR', eta_min=0, begin=50, end=max_iters, T_max=max_iters - 50, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=200)
default_hooks = dict(checkpoint=dict(interval=200))
auto_scale_lr = dict(enable=False, base_batch_size=4)
