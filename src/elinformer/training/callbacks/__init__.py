"""Callbacks of Lightning that make a training."""

from pytorch_lightning import Callback

__all__ = ["Callback"]
