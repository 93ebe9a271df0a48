# The baseline without attention, to compare the heads with: it cannot see the key.
_base_ = '_base_/shapes.py'
model = dict(decode_head=dict(type='FCNHead', num_convs=1, concat_input=False))
