"""What tools/prepare_data.py and tools/check_data.py are made of. Only ``config_data.py`` needs OpenMMLab."""
