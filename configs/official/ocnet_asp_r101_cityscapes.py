_base_ = 'ocnet_base_r101_cityscapes.py'
model = dict(decode_head=dict(context='asp', dropout_ratio=0.1), auxiliary_head=dict(dropout_ratio=0.1))
