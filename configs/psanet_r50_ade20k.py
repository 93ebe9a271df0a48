# PSANet on ADE20K by its authors' recipe (hszhao/semseg), 16 images in all.
# docs/methods/psanet.md lists its source and where this is not the same.
_base_ = 'psanet_r50_voc.py'

data_root = 'data/ade/ADEChallengeData2016'
train_dataloader = dict(dataset=dict(
    _delete_=True,
    type='ADE20KDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
    pipeline={{_base_.train_pipeline}}))
val_dataloader = dict(dataset=dict(
    _delete_=True,
    type='ADE20KDataset',
    data_root=data_root,
    data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
    pipeline={{_base_.test_pipeline}}))
test_dataloader = val_dataloader
model = dict(decode_head=dict(num_classes=150), auxiliary_head=dict(num_classes=150))

# 100 epochs.
param_scheduler = [dict(type='PolyLR', eta_min=0.0, power=0.9, begin=0, end=126000, by_epoch=False)]
train_cfg = dict(max_iters=126000, val_interval=6300)
default_hooks = dict(checkpoint=dict(interval=6300))
