# DINOv3 ViT-S/16 of timm, with its registers and rotary positions; the map of its last layer, stride 16.
_base_ = 'cityscapes_adamw.py'

crop_size = (512, 1024)
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='TIMMBackbone',
        model_name='vit_small_patch16_dinov3.lvd1689m',
        pretrained=True,
        out_indices=(-1, ),
        dynamic_img_size=True,
        dynamic_img_pad=True),
    decode_head=dict(in_channels=384, in_index=0),
    auxiliary_head=None,
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(341, 683)))

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={
    name: dict(decay_mult=0.0) for name in ('reg_token', 'cls_token', 'gamma')}))
