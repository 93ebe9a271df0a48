# EMANet on PASCAL VOC 2012 by its authors' recipe (XiaLiPKU/EMANet, settings.py and train.py), on 4 GPUs.
# docs/methods/emanet.md lists its sources and the three points in which it is not the same.
_base_ = '_base_/voc.py'

norm_cfg = dict(type='SyncBN', momentum=3e-4, requires_grad=True)
crop_size = (513, 513)
model = dict(
    pretrained='open-mmlab://resnet101_v1c',
    data_preprocessor=dict(type='mmseg_attn.AlignedSegDataPreProcessor', size=crop_size),
    backbone=dict(depth=101, norm_cfg=norm_cfg, multi_grid=(2, 8, 16)),
    decode_head=dict(type='mmseg_attn.EMAHead', channels=256, norm_cfg=norm_cfg, align_corners=True),
    auxiliary_head=None)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(
        type='RandomChoice',
        transforms=[[dict(type='Resize', scale_factor=r, keep_ratio=True)]
                    for r in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0)]),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
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

# Weight decay on the weights of convolutions only; every bias learns twice as fast.
optim_wrapper = dict(
    optimizer=dict(lr=9e-3, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={'.bias': dict(lr_mult=2.0, decay_mult=0.0)}))
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=0.9, begin=0, end=30000, by_epoch=False)]
train_cfg = dict(max_iters=30000, val_interval=3000)
default_hooks = dict(checkpoint=dict(interval=3000))
