"""Callbacks of Lightning that make a training."""
