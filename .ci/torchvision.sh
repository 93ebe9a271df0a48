#!/usr/bin/env bash
# Grad-CAM needs torchvision, of which there is no build for CPU builds of PyTorch everywhere.
source .ci/environment.sh

enter python3
pip install --quiet torch==2.12.1 torchvision==0.27.1
pip install --quiet -e ".[onedl,test,cam]"
# What Grad-CAM's packages warn of is not ours to mend.
pytest -n auto -W default tests/explain/test_grad_cam.py tests/tools/test_explore_attention.py::test_grad_cam_or_how_to_get_it
