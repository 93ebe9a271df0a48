# The network of junfu1115/DANet's release, for its converted weights.
_base_ = '../danet_r101_cityscapes.py'
model = dict(pretrained=None)
