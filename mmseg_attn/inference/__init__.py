"""What tools/infer.py does: predictions for images and videos, written as pictures."""
