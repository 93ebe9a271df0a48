# PSANet on PASCAL VOC 2012 by its authors' recipe (hszhao/semseg), on 4 GPUs of 4 images.
# docs/methods/psanet.md lists its source and where this is not the same.
_base_ = '_base_/voc.py'

crop_size = (465, 465)
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
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(310, 310)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    # The authors draw from [0.5, 2]; a hundredth is the step here.
    dict(
        type='RandomChoice',
        transforms=[[dict(type='Resize', scale_factor=r / 100, keep_ratio=True)] for r in range(50, 201)]),
    dict(type='RandomRotate', prob=0.5, degree=10, pad_val=(103.53, 116.28, 123.675), seg_pad_val=255),
    dict(type='mmseg_attn.RandomGaussianBlur', prob=0.5, kernel_size=5),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(512, 512), keep_ratio=True),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(datasets=[
    dict(
        type='PascalVOCDataset',
        data_root='data/VOCdevkit/VOC2012',
        data_prefix=dict(img_path='JPEGImages', seg_map_path=folder),
        ann_file=f'ImageSets/Segmentation/{split}.txt',
        pipeline=train_pipeline) for folder, split in (('SegmentationClass', 'train'), ('SegmentationClassAug', 'aug'))
]))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

# The new layers learn ten times as fast.
optim_wrapper = dict(
    optimizer=dict(weight_decay=1e-4),
    paramwise_cfg=dict(custom_keys={'decode_head': dict(lr_mult=10.0), 'auxiliary_head': dict(lr_mult=10.0)}))
# 50 epochs.
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=0.9, begin=0, end=33000, by_epoch=False)]
train_cfg = dict(max_iters=33000, val_interval=3300)
default_hooks = dict(checkpoint=dict(interval=3300))
