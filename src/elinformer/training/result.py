"""Result of a training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FitResult:
    """Course of a training.

    Attributes:
        seconds: Wall-clock time, that before a restart included.
        epochs: Epochs that were started.
        best_epoch: Epoch of the weights that were kept, from 1.
        interrupted: True if Ctrl-C ended it early.
        skipped_steps: Steps left out because their loss or gradient was not finite.
        diverged: True if there were too many of them in a row.
        sharpness: Sharpness of attention that validation chose: see `elinformer.training.callbacks.calibration`.
    """

    seconds: float
    epochs: int
    best_epoch: int
    interrupted: bool
    skipped_steps: int = 0
    diverged: bool = False
    sharpness: float = 1.0
