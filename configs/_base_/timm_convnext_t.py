# ConvNeXt-T of timm, with the recipe of convnext_t.py; timm has no norms behind the stages.
_base_ = 'cityscapes_adamw.py'

model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='TIMMBackbone',
        model_name='convnext_tiny.fb_in1k',
        pretrained=True,
        drop_path_rate=0.4),
    decode_head=dict(in_channels=[192, 384, 768], in_index=[1, 2, 3], input_transform='resize_concat'),
    auxiliary_head=dict(in_channels=384))

# The rates that mmseg's LearningRateDecayOptimizerConstructor gives to mmpretrain's names, the only ones it knows. Of
# the keys that are in a name the longest counts.
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    constructor='mmseg_attn.FlatDecayConstructor',
    paramwise_cfg=dict(
        _delete_=True,
        custom_keys={
            'stem': dict(lr_mult=0.9**7),
            'downsample': dict(lr_mult=0.9**7),
            'stages_0': dict(lr_mult=0.9**6),
            'stages_1': dict(lr_mult=0.9**5),
            'stages_2': dict(lr_mult=0.9**4),
            'stages_3': dict(lr_mult=0.9**3)
        }))
