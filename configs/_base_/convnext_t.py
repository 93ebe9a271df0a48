# ConvNeXt-T of mmpretrain; of its stages the last three, resized to stride 8.
_base_ = 'cityscapes_adamw.py'

custom_imports = dict(imports=['mmseg_attn.registered', 'mmpretrain.models'])
model = dict(
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ConvNeXt',
        arch='tiny',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.4,
        layer_scale_init_value=1.0,
        gap_before_final_norm=False,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://mmassets.onedl.ai/mmclassification/v0/convnext/downstream/'
            'convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth',
            prefix='backbone.')),
    decode_head=dict(in_channels=[192, 384, 768], in_index=[1, 2, 3], input_transform='resize_concat'),
    auxiliary_head=dict(in_channels=384))

# Each stage learns slower than the next one.
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    constructor='LearningRateDecayOptimizerConstructor',
    paramwise_cfg=dict(_delete_=True, decay_rate=0.9, decay_type='stage_wise', num_layers=6))
