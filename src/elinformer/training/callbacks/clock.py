"""The time a training takes, over all its starts."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl


class Clock(pl.Callback):
    """Counts from when it is made, and on from what a checkpoint says."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall-clock time of training."""
        return time.monotonic() - self._began

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Add the time of earlier starts."""
        self._began -= state_dict["seconds"]
