"""Ctrl-C and SIGTERM end training in order: after the step in progress, on all ranks after the same one."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from elinformer.training.ranks.strategy import MeshStrategy, Wishes

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console

    from elinformer.training.callbacks.checkpointing import Checkpointing

TERMINATED = 128 + signal.SIGTERM
"""The exit code of what SIGTERM ended, as shells have it."""


class Stopping(pl.Callback):
    """Ends training where a signal asks for it.

    The first Ctrl-C ends it as if it were over; a second one ends the process. SIGTERM, by which a scheduler says that
    it will kill soon, ends the process once a checkpoint is written, without another validation. It may come more than
    once, from torchrun and from the scheduler, and is heeded once. Where it comes in the last step of an epoch or in
    the validation after it, the next epoch begins with the checkpoint; after the last epoch, the run is finished.

    It stands before `Checkpointing` among the callbacks.

    Args:
        checkpointing: What writes; None where there is no run.
        console: Where it is said that SIGTERM came.
    """

    def __init__(self, checkpointing: Checkpointing | None, console: Console) -> None:
        self._checkpointing, self._console = checkpointing, console
        self._wishes = Wishes()

    @contextmanager
    def listening(self) -> Generator[None]:
        """Listen to Ctrl-C from here on, and to SIGTERM from the first step on, both in the main thread alone."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def stop(*_: Any) -> None:
            self._wishes.stop = True
            signal.signal(signal.SIGINT, before[signal.SIGINT])

        signal.signal(signal.SIGINT, stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def was_interrupted(self, trainer: pl.Trainer) -> bool:
        """Whether Ctrl-C came, here or on another rank."""
        return self._wishes.stop or self._agreed(trainer).stop

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take the place of Lightning's handler of SIGTERM, which sends messages amid those of a step."""
        if isinstance(trainer.strategy, MeshStrategy):
            trainer.strategy.wishes = self._wishes
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._leave_soon)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Leave where SIGTERM came since the step before."""
        if self._agreed(trainer).leave and batch_idx % trainer.accumulate_grad_batches == 0:
            self._leave(trainer, pl_module, batch_idx)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop or leave after a step, unless a validation follows it."""
        done = batch_idx + 1
        if done % trainer.accumulate_grad_batches == 0 and done < trainer.num_training_batches:
            self._heed(trainer)
            if self._agreed(trainer).leave:
                self._leave(trainer, pl_module, done)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop after an epoch."""
        self._heed(trainer)

    def _agreed(self, trainer: pl.Trainer) -> Wishes:
        return trainer.strategy.agreed if isinstance(trainer.strategy, MeshStrategy) else self._wishes

    def _heed(self, trainer: pl.Trainer) -> None:
        if self._agreed(trainer).stop:
            trainer.should_stop = True

    def _leave_soon(self, *_: Any) -> None:
        self._wishes.leave = True

    def _leave(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batches_done: int) -> None:
        """Write a checkpoint, say so and exit, all ranks together: launchers end those that outlive another."""
        then = ""
        if self._checkpointing is not None:
            self._checkpointing.write_if_new(trainer, pl_module, batches_done)
            then = f": go on with `elinformer train --resume {self._checkpointing.run}`"
        steps = int(trainer.estimated_stepping_batches)
        said = f"ended by SIGTERM after step {trainer.global_step} of {steps}{then}"
        self._console.print(said, style="yellow", highlight=False, soft_wrap=True)
        trainer.strategy.barrier()
        raise SystemExit(TERMINATED)
