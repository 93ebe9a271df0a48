# mmseg's pyramid pooling, the baseline that reads pooled maps of the whole image.
_base_ = '_base_/mbv2_camvid.py'
model = dict(decode_head=dict(type='PSPHead', pool_scales=(1, 2, 3, 6)))
