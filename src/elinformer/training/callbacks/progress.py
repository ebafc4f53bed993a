"""A progress bar for training: loss, validation MAE, time left; nothing where there is no terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from rich.console import Console

    from elinformer.training.callbacks.best_weights import BestWeights


class TrainingProgress(pl.Callback):
    """Draws one line on `console` while it is a terminal."""

    def __init__(self, console: Console, best: BestWeights) -> None:
        self.best = best
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
        self._batches = 1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar."""
        self._batches = int(trainer.num_training_batches)
        self._progress.update(self._task, total=trainer.max_epochs)
        self._progress.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar on by a part of an epoch."""
        done = trainer.current_epoch + (batch_idx + 1) / self._batches
        self._progress.update(self._task, completed=done, loss=f"{float(outputs['loss']):.3f}")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the validation error."""
        if "validation_mae" in trainer.callback_metrics:
            mae = float(trainer.callback_metrics["validation_mae"])
            self._progress.update(self._task, mae=f"{mae:.4g}", best=f"{self.best.mae:.4g}")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Take the bar away, also after an error."""
        self._progress.stop()
