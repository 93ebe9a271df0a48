# DINOv2 ViT-S/14 without registers, frozen; the map of its last layer, stride 14. Crops are whole numbers of patches.
_base_ = 'vit_b16.py'

crop_size = (518, 1036)
model = dict(
    data_preprocessor=dict(size=crop_size),
    backbone=dict(
        # That of its position embedding, which is resized in every forward.
        img_size=(518, 518),
        patch_size=14,
        embed_dims=384,
        num_heads=6,
        # Nothing is left out of the freezing.
        frozen_exclude=[],
        # Made by tools/convert_checkpoint.py of Meta's file.
        init_cfg=dict(checkpoint='pretrain/dinov2_vits14.pth')),
    decode_head=dict(in_channels=384),
    test_cfg=dict(crop_size=crop_size, stride=(345, 691)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(2048, 1024), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# Only the head is trained.
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=1e-4))
