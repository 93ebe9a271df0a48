# The network of XiaLiPKU/EMANet's release, for its converted weights.
_base_ = '../emanet_r101_voc.py'
model = dict(pretrained=None, backbone=dict(stem_channels=128))
