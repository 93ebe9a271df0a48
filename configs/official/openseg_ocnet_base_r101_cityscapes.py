_base_ = 'openseg_isanet_r101_cityscapes.py'
model = dict(
    decode_head=dict(type='mmseg_attn.OCHead', context_cfg=dict(shared_query=False)),
    auxiliary_head=dict(dropout_ratio=0))
