"""Write checkpoints while training, and go on from the newest: a Lightning callback around files and state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from elinformer.errors import InputError
from elinformer.training.ranks.random_numbers import restore_random
from elinformer.training.ranks.strategy import mesh_of, own_state, whole_state
from elinformer.training.resume import Position, restore_training, training_state

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from elinformer.run_folder.checkpoints import CheckpointFolder
    from elinformer.training.batches import ShuffledBatches

SHARE = 0.01
"""Of the time of training, how much checkpoints by the clock may take."""


class Checkpointing(pl.Callback):
    """Restores the newest checkpoint there is, and writes others every so many minutes.

    All are written at the start of a step, when the validation of the epoch before is over, so that what follows
    depends on nothing else.

    Args:
        folder: Where the checkpoints are.
        batches: Those of training.
        minutes: Between two checkpoints; 0 = one before every step.
        console: Where it is said that training goes on, and from where.
    """

    def __init__(self, folder: CheckpointFolder, batches: ShuffledBatches, minutes: float, console: Console) -> None:
        self._folder, self._batches, self._minutes, self._console = folder, batches, minutes, console
        self._written = time.monotonic()
        self._cost = 0.0
        self._step = 0
        self._random: dict[str, Any] | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on from the newest checkpoint; start over without one."""
        found = self._folder.newest()
        for complaint in found.complaints:
            self._console.print(complaint, style="yellow", highlight=False)
        if found.state is None:
            if found.complaints:
                self._console.print("no checkpoint is left: training starts over", style="yellow", highlight=False)
            return
        restore_training(trainer, pl_module, self._batches, own_state(trainer, found.state))
        self._random = found.state["random"]
        position = Position(**found.state["position"])
        self._step = position.step
        self._console.print(f"going on from step {position.step} of {position.steps}", highlight=False)
        before, now = tuple(found.state["random"]["mesh"]), mesh_of(trainer).shape
        if before != now:
            self._console.print(
                "random numbers differ from here on: training was on {} x {} ranks (windows x series), and now is on "
                "{} x {}".format(*before, *now),
                style="yellow",
                highlight=False,
                soft_wrap=True,
            )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Write where it is time to; the first batch after a restart finds the random numbers it would have found."""
        if self._random is not None:
            restore_random(self._random, mesh_of(trainer), pl_module.device)
            self._random = None
        if batch_idx % trainer.accumulate_grad_batches == 0 and self._is_due(trainer):
            self._write(trainer, pl_module, batch_idx)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write where training is ended in the middle of an epoch, so that it can be carried on from there."""
        done = batch_idx + 1
        between_steps = done % trainer.accumulate_grad_batches == 0 and done < len(self._batches)
        if trainer.should_stop and between_steps:
            self._write(trainer, pl_module, done)

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self._folder.path.parent

    def write_if_new(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batches_done: int) -> None:
        """Write, between two steps, unless none was done since the last checkpoint."""
        if trainer.global_step > self._step:
            self._write(trainer, pl_module, batches_done)

    def _is_due(self, trainer: pl.Trainer) -> bool:
        """The same answer on all ranks, whose clocks differ."""
        if trainer.global_step == self._step:
            return False
        if not self._minutes:
            return True
        late = time.monotonic() - self._written >= max(60 * self._minutes, self._cost / SHARE)
        return trainer.strategy.reduce_boolean_decision(late, all=False)

    def _write(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batches_done: int) -> None:
        began = time.monotonic()
        position = Position(
            epoch=trainer.current_epoch,
            steps_in_epoch=batches_done // trainer.accumulate_grad_batches,
            step=trainer.global_step,
            steps=int(trainer.estimated_stepping_batches),
        )
        state = whole_state(trainer, training_state(trainer, pl_module, position))
        if trainer.is_global_zero:
            self._save(position.step, state)
        self._step, self._written = position.step, time.monotonic()
        self._cost = self._written - began

    def _save(self, step: int, state: dict[str, Any]) -> None:
        try:
            self._folder.write(step, state)
        except InputError as error:
            raise InputError(
                f"{error}: the checkpoints before are whole, so make room and go on with `elinformer train --resume "
                f"{self.run}`"
            ) from error
