# The network of hszhao/semseg's release, for its converted weights.
_base_ = '../psanet_r101_cityscapes.py'
model = dict(pretrained=None, backbone=dict(stem_channels=128), decode_head=dict(mask_size=(89, 89)))
