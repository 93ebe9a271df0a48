#!/usr/bin/env bash
# Grad-CAM and the backbones of mmpretrain and timm need torchvision, of which there is no build for CPU builds of PyTorch
# everywhere.
source .ci/environment.sh

enter python3
pip install --quiet torch==2.12.1 torchvision==0.27.1
pip install --quiet -e ".[onedl,test,cam,backbones]"
# What these packages warn of is not ours to mend.
pytest -n auto -W default tests/explain/test_grad_cam.py tests/tools/test_explore_attention.py::test_grad_cam_or_how_to_get_it
# Where they all are, none may be skipped.
export MMSEG_ATTN_ALL_BACKBONES=1
pytest -n auto -W default tests/configs/test_backbones.py tests/checkpoints/test_vit.py \
    tests/docs/test_python.py::test_a_config_can_be_loaded
pytest -n auto -W default tests/configs/test_configs.py tests/tools/test_backbones.py -k "convnext or timm"
