# ViT-B/16; the map of its last layer, stride 16. Its attention is over all pixels, so images are tested by windows.
_base_ = 'cityscapes_adamw.py'

crop_size = (512, 1024)
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='VisionTransformer',
        img_size=crop_size,
        patch_size=16,
        patch_bias=True,
        embed_dims=768,
        num_layers=12,
        num_heads=12,
        out_indices=11,
        final_norm=True,
        norm_cfg=dict(type='LN', eps=1e-6),
        # Made by tools/convert_checkpoint.py of timm's file.
        init_cfg=dict(type='Pretrained', checkpoint='pretrain/vit_base_patch16_224.pth')),
    decode_head=dict(in_channels=768, in_index=0),
    auxiliary_head=None,
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(341, 683)))

optim_wrapper = dict(paramwise_cfg=dict(custom_keys={
    name: dict(decay_mult=0.0) for name in ('pos_embed', 'cls_token', 'ln')}))
