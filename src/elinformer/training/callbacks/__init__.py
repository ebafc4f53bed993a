"""Lightning callbacks of a training."""

from pytorch_lightning import Callback

__all__ = ["Callback"]
