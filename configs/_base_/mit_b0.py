# MiT-B0, SegFormer's backbone; of its stages the last three, resized to stride 8.
_base_ = 'cityscapes_adamw.py'

model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='MixVisionTransformer',
        embed_dims=32,
        num_layers=[2, 2, 2, 2],
        num_heads=[1, 2, 5, 8],
        sr_ratios=[8, 4, 2, 1],
        qkv_bias=True,
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/segformer/'
            'mit_b0_20220624-7e0fe6dd.pth')),
    decode_head=dict(in_channels=[64, 160, 256], in_index=[1, 2, 3], input_transform='resize_concat'),
    auxiliary_head=None)

# The head learns ten times as fast.
optim_wrapper = dict(paramwise_cfg=dict(custom_keys={'head': dict(lr_mult=10.0)}))
auto_scale_lr = dict(base_batch_size=8)
