"""Time a few steps of a training as users run it."""

from __future__ import annotations

import time

import pytorch_lightning as pl


class FewSteps(pl.Callback):
    """Callback that ends training after some steps and keeps the time of each, with the loading of data.

    Args:
        least: Least number of steps.
        seconds: Training ends after so many seconds.

    Attributes:
        each: The seconds of every step.
    """

    def __init__(self, least: int, seconds: float = 0.0) -> None:
        self._least, self._seconds, self._last = least, seconds, 0.0
        self.each: list[float] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:  # noqa: ARG002
        """Start the clock, so that the time between two epochs does not count."""
        self._last = time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, *_: object) -> None:
        """Keep the time unless more micro-batches follow, and stop after enough steps."""
        if trainer.global_step <= len(self.each) or trainer.should_stop:
            return
        now = time.perf_counter()
        self.each.append(now - self._last)
        self._last = now
        trainer.should_stop = len(self.each) >= self._least and sum(self.each) >= self._seconds
