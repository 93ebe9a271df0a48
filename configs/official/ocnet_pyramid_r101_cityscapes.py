_base_ = 'ocnet_base_r101_cityscapes.py'
model = dict(decode_head=dict(context='pyramid'), auxiliary_head=dict(act_cfg=None))
