# Cityscapes by the recipe that mmseg has for its transformers: AdamW, 1500 iterations of warm-up, a linear decay. A
# backbone's file says where it differs. Sources: docs/backbones.md.
_base_ = 'cityscapes.py'

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(custom_keys={'norm': dict(decay_mult=0.0)}))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=1500, by_epoch=False),
    dict(type='PolyLR', eta_min=0.0, power=1.0, begin=1500, end=80000, by_epoch=False),
]
auto_scale_lr = dict(base_batch_size=16)
