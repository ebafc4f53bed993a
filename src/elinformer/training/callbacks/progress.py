"""Time and progress of a training: a clock that survives restarts, and a bar, or lines where there is no terminal."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from rich.progress import BarColumn, Progress, ProgressColumn
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Task

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
    """Progress of a training: one line with a bar on a terminal, else a line every tenth of the epochs.

    Args:
        console: Console of the progress.
        best: Best weights so far; None = there is no validation.
        lines: Whether lines are printed if the console is no terminal.
        name: Name of what is done.
    """

    def __init__(self, console: Console, best: BestWeights | None, *, lines: bool, name: str = "training") -> None:
        self._console, self._best, self._lines = console, best, lines and not console.is_terminal
        self._name = name
        self._progress = Progress(
            BarColumn(bar_width=_bar_width(console)),
            StatusColumn(console),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=None, loss="-", mae="-", best="-")
        self._n_batches, self._tenths = 1, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the bar."""
        self._n_batches = int(trainer.num_training_batches)
        self._progress.update(self._task, total=trainer.max_epochs, completed=trainer.current_epoch)
        self._tenths = self._tenths_done()
        self._progress.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bar by one batch."""
        n_epochs = trainer.current_epoch + (batch_idx + 1) / self._n_batches
        self._progress.update(self._task, completed=n_epochs, loss=f"{float(outputs['loss']):.3f}")
        if batch_idx + 1 < self._n_batches:
            self._print_tenth()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the validation error."""
        if self._best is not None and "validation_mae" in trainer.callback_metrics:
            mae = float(trainer.callback_metrics["validation_mae"])
            self._progress.update(self._task, mae=f"{mae:.4g}", best=f"{self._best.mae:.4g}")
        self._print_tenth()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remove the bar, also after an error."""
        self._progress.stop()

    def _tenths_done(self) -> int:
        task = self._progress.tasks[0]
        return int(10 * task.completed / task.total + 1e-9) if task.total else 0

    def _print_tenth(self) -> None:
        """Print a line if another tenth is done."""
        if self._lines and (tenths := self._tenths_done()) > self._tenths:
            self._tenths = tenths
            self._console.print(
                f"{self._name} {10 * tenths} %: {', '.join(_parts(self._progress.tasks[0]))}", soft_wrap=True
            )


class StatusColumn(ProgressColumn):
    """Epoch, time and errors: as much of it as fits beside the bar, the most important first."""

    max_refresh = 0.5

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def render(self, task: Task) -> Text:
        """Return the status as one line."""
        room = self._console.width - _bar_width(self._console) - 2
        parts = _parts(task)
        while len(parts) > 1 and len("  ".join(parts)) > room:
            parts.pop()
        return Text("  ".join(parts)[:room], no_wrap=True)


def _bar_width(console: Console) -> int:
    return max(6, min(24, console.width // 5))


def _parts(task: Task) -> list[str]:
    """Return epoch, remaining time, validation error, best one and loss."""
    total = int(task.total or 0)
    left = task.time_remaining
    parts = [f"epoch {max(1, math.ceil(task.completed - 1e-9))}/{total}"]
    if left is not None and task.completed < total:
        parts.append(f"{timedelta(seconds=int(left))} left")
    for words, value in (("validation MAE", "mae"), ("best", "best"), ("loss", "loss")):
        if task.fields[value] != "-":
            parts.append(f"{words} {task.fields[value]}")
    return parts
