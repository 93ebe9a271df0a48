# The authors published no Cityscapes recipe: their head under the house recipe.
_base_ = '_base_/cityscapes.py'
model = dict(decode_head=dict(type='mmseg_attn.EMAHead', channels=256))
