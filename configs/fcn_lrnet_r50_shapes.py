# The layer where the paper has it: in the place of every 3 x 3 convolution of the Bottlenecks. Two stages of ResNet-50,
# a quarter of its width, from random weights.
_base_ = '_base_/shapes.py'
model = dict(
    backbone=dict(
        depth=50,
        base_channels=16,
        dcn=dict(type='mmseg_attn.LocalRelation', window=7),
        stage_with_dcn=(True, True)),
    decode_head=dict(type='FCNHead', num_convs=1, concat_input=False))
