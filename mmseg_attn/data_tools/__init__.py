"""Prepares and checks data sets: behind the commands ``prepare_data``, which needs no OpenMMLab, and ``check_data``."""
