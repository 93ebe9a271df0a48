_base_ = 'openseg_isanet_r101_cityscapes.py'
model = dict(
    decode_head=dict(
        type='mmseg_attn.OCHead', context='asp',
        context_cfg=dict(shared_query=False, value_channels=128, context_conv=False)),
    auxiliary_head=dict(dropout_ratio=0))
