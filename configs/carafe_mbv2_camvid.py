# CARAFE itself looks no further than a convolution; the pooled maps of UPerNet's head see the whole image.
_base_ = '_base_/mbv2_camvid.py'
model = dict(
    backbone=dict(out_indices=(1, 2, 4, 6)),
    decode_head=dict(
        _delete_=True,
        type='mmseg_attn.CARAFEUPerHead',
        in_channels=[24, 32, 96, 320],
        in_index=[0, 1, 2, 3],
        channels=128,
        num_classes=11,
        ignore_index=11,
        dropout_ratio=0.1,
        norm_cfg={{_base_.norm_cfg}},
        align_corners=False,
        loss_decode=dict(type='mmseg_attn.PixelCrossEntropyLoss', class_weight={{_base_.class_weight}})))
