# The baseline without attention.
_base_ = '_base_/mbv2_camvid.py'
model = dict(decode_head=dict(type='FCNHead', num_convs=1, concat_input=False))
