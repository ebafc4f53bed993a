"""Keep the weights with the lowest validation loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

if TYPE_CHECKING:
    from torch import Tensor


class BestWeights(pl.Callback):
    """Copies the weights at each new lowest validation loss; NaN never counts as lowest.

    Args:
        patience: Stops training after so many validations without a new lowest loss; 0 = never.

    Attributes:
        epoch: Epoch (from 1) of the best weights, 0 before the first validation.
        loss: Their validation loss.
        mae: Their validation error in the units of the data.
    """

    def __init__(self, patience: int = 0) -> None:
        self.patience = patience
        self.epoch, self.loss, self.mae = 0, math.inf, math.nan
        self._weights: dict[str, Tensor] | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the weights if they are the best; stop training if `patience` is exhausted."""
        metrics = trainer.callback_metrics
        if "validation_loss" not in metrics:
            return
        epoch = trainer.current_epoch + 1
        if float(metrics["validation_loss"]) < self.loss:
            self.epoch, self.loss = epoch, float(metrics["validation_loss"])
            self.mae = float(metrics["validation_mae"])
            self._weights = {name: weight.detach().clone() for name, weight in pl_module.state_dict().items()}
        elif self.patience and epoch - self.epoch >= self.patience:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"epoch": self.epoch, "loss": self.loss, "mae": self.mae, "weights": self._weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self.epoch, self.loss, self.mae = (state_dict[name] for name in ("epoch", "loss", "mae"))
        self._weights = state_dict["weights"]

    def restore(self, pl_module: pl.LightningModule) -> None:
        """Put the best weights into the module; before the first validation the weights stay as they are."""
        if self._weights is not None:
            pl_module.load_state_dict(self._weights)
