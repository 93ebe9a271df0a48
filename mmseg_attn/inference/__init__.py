"""Predictions for images and videos, written as pictures: behind the command ``infer``."""
