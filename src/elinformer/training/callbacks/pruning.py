"""Callback that reports every validation, and ends training if told so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytorch_lightning as pl

if TYPE_CHECKING:
    from collections.abc import Callable


class ReportValidation(pl.Callback):
    """Report of the validation loss after every epoch.

    Args:
        report: Function that takes number, from 1, and loss of a validation, and returns True to end training.

    Attributes:
        best: Lowest validation loss so far; infinity before the first validation.
    """

    def __init__(self, report: Callable[[int, float], bool]) -> None:
        self._report, self._n_validations = report, 0
        self.best = float("inf")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report the loss of this validation."""
        loss = float(trainer.callback_metrics["validation_loss"])
        self.best = min(self.best, loss)
        self._n_validations += 1
        if self._report(self._n_validations, loss):
            trainer.should_stop = True
