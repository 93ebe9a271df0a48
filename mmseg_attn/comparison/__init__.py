"""Trains several heads under one recipe with several seeds, and says what the numbers mean: behind ``compare``."""
