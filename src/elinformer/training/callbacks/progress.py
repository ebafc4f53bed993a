"""Time and progress of a training: a clock that survives restarts, and a progress bar for terminals."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from rich.console import Console

    from elinformer.training.callbacks.best_weights import BestWeights


class Clock(pl.Callback):
    """Measures the time since its creation, plus the time of earlier starts from a checkpoint."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Wall-clock time of training."""
        return time.monotonic() - self._start

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Add the time of earlier starts."""
        self._start -= state_dict["seconds"]


class ProgressBar(pl.Callback):
    """One line with epoch, loss, validation MAE and remaining time; nothing unless `console` is a terminal."""

    def __init__(self, console: Console, best: BestWeights) -> None:
        self._best = best
        self._progress = Progress(
            TextColumn("[bold]training"),
            BarColumn(bar_width=24),
            TextColumn("epoch"),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}  validation MAE {task.fields[mae]} (best {task.fields[best]})"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None, loss="-", mae="-", best="-")
        self._n_batches = 1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar."""
        self._n_batches = int(trainer.num_training_batches)
        self._progress.update(self._task, total=trainer.max_epochs)
        self._progress.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bar by one batch."""
        n_epochs = trainer.current_epoch + (batch_idx + 1) / self._n_batches
        self._progress.update(self._task, completed=n_epochs, loss=f"{float(outputs['loss']):.3f}")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the validation error."""
        if "validation_mae" in trainer.callback_metrics:
            mae = float(trainer.callback_metrics["validation_mae"])
            self._progress.update(self._task, mae=f"{mae:.4g}", best=f"{self._best.mae:.4g}")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remove the bar, also after an error."""
        self._progress.stop()
