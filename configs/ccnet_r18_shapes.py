# Criss-cross attention has to learn two passes that are of use only together: after 400 iterations, the budget of the
# others, it is where FCN is.
_base_ = '_base_/shapes.py'

max_iters = 3000
model = dict(decode_head=dict(type='mmseg_attn.CCHead'))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.04, begin=0, end=120, by_epoch=False),
    dict(type='CosineAnnealingLR', eta_min=0, begin=120, end=max_iters, T_max=max_iters - 120, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500))
