"""Pace of a training: a stopwatch for its first steps, and an end where a time limit would be passed."""

from __future__ import annotations

import time
from itertools import pairwise
from statistics import median
from typing import Any

import pytorch_lightning as pl


class Deadline(pl.Callback):
    """Ends training at a validation after which another epoch would end too late.

    Args:
        seconds: Seconds from the creation of the callback, and of those before a restart.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._began = seconds, time.monotonic()
        self._epochs = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop if it is time; all ranks decide alike."""
        self._epochs += 1
        used = time.monotonic() - self._began
        is_late = used * (1 + 1 / self._epochs) > self._seconds
        trainer.should_stop = trainer.should_stop or trainer.strategy.reduce_boolean_decision(is_late, all=False)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"seconds": time.monotonic() - self._began, "epochs": self._epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Add the time of earlier starts."""
        self._began -= state_dict["seconds"]
        self._epochs = state_dict["epochs"]


class Stopwatch(pl.Callback):
    """Measures steps and a validation.

    Args:
        most: Seconds after which no further step is taken.
    """

    def __init__(self, most: float) -> None:
        self._most, self._ends, self.validation = most, [time.monotonic()], 0.0
        self._began = 0.0

    @property
    def step(self) -> float:
        """Median time of the steps after the first, which is slower."""
        times = [b - a for a, b in pairwise(self._ends)]
        return median(times[1:] or times)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Note the end of a step."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            float(outputs["loss"])  # waits for a GPU
            self._ends.append(time.monotonic())
            is_late = len(self._ends) > 2 and self._ends[-1] - self._ends[0] > self._most
            trainer.should_stop = trainer.strategy.reduce_boolean_decision(is_late, all=False)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note the begin of the validation."""
        self._began = time.monotonic()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Note its time."""
        self.validation = time.monotonic() - self._began
