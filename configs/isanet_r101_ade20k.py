# ISA on ADE20K by the recipe of openseg.pytorch (configs/ade20k/R_101_D_8.json), 16 images in all.
# docs/methods/isanet.md lists its source and where this is not the same.
_base_ = 'ocnet_r101_ade20k.py'
model = dict(decode_head=dict(type='mmseg_attn.ISAHead'))
