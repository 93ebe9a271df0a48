# The network of hszhao/semseg's release for ADE20K, for its converted weights.
_base_ = 'psanet_r101_voc.py'

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
