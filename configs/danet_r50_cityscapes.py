_base_ = 'danet_r101_cityscapes.py'
model = dict(pretrained='torchvision://resnet50', backbone=dict(depth=50))
