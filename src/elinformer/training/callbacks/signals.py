"""End training on Ctrl-C, SIGTERM or SIGHUP after the current step, which is the same on all ranks."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl

from elinformer.training.ranks.strategy import MeshStrategy, StopRequests

if TYPE_CHECKING:
    from collections.abc import Generator

    from rich.console import Console

    from elinformer.training.callbacks.checkpointing import Checkpointing

ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that end the process with a checkpoint: from a scheduler, and from a terminal that is closed."""


class StopOnSignal(pl.Callback):
    """Ends training after a signal.

    Ctrl-C ends training as if all epochs were done; a second Ctrl-C ends the process at once.

    SIGTERM ends the process with a checkpoint and without another validation: a scheduler sends it shortly before it
    kills. It may come more than once, from torchrun and from the scheduler; only the first one counts. If it comes in
    the last step of an epoch or in the validation after it, the checkpoint is written at the start of the next epoch.
    After the last epoch, the run is finished instead. SIGHUP does the same, without a message, as its terminal is gone;
    where it is ignored, as under nohup, it stays so. The exit code is 128 plus the number of the signal.

    This callback must precede `Checkpointing` in the list of callbacks.

    Args:
        checkpointing: Callback that writes checkpoints; None without a run folder.
        console: Console for the message about SIGTERM.
    """

    def __init__(self, checkpointing: Checkpointing | None, console: Console) -> None:
        self._checkpointing, self._console = checkpointing, console
        self._requests = StopRequests()
        self._signal = signal.SIGTERM

    @contextmanager
    def catch_interrupts(self) -> Generator[None]:
        """Catch Ctrl-C, and restore all signal handlers at the end; do nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, *ENDING)}

        def interrupt(*_: Any) -> None:
            self._requests.interrupt = True
            signal.signal(signal.SIGINT, handlers[signal.SIGINT])

        signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def was_interrupted(self, trainer: pl.Trainer) -> bool:
        """Tell if Ctrl-C was pressed, for this rank or another."""
        return self._requests.interrupt or self._agreed_requests(trainer).interrupt

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Catch SIGTERM and SIGHUP; Lightning's own handler would send messages between those of a step."""
        if isinstance(trainer.strategy, MeshStrategy):
            trainer.strategy.requests = self._requests
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
                    signal.signal(number, self._request_termination)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Terminate if a signal came after the previous step."""
        if batch_idx % trainer.accumulate_grad_batches == 0 and self._agreed_requests(trainer).terminate:
            self._terminate(trainer, pl_module, batch_idx)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop or terminate after a step, unless a validation follows it."""
        n_batches = batch_idx + 1
        if n_batches % trainer.accumulate_grad_batches == 0 and n_batches < trainer.num_training_batches:
            self._stop_if_interrupted(trainer)
            if self._agreed_requests(trainer).terminate:
                self._terminate(trainer, pl_module, n_batches)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop after an epoch."""
        self._stop_if_interrupted(trainer)

    def _agreed_requests(self, trainer: pl.Trainer) -> StopRequests:
        return trainer.strategy.agreed_requests if isinstance(trainer.strategy, MeshStrategy) else self._requests

    def _stop_if_interrupted(self, trainer: pl.Trainer) -> None:
        if self._agreed_requests(trainer).interrupt:
            trainer.should_stop = True

    def _request_termination(self, number: int, _frame: Any) -> None:
        self._requests.terminate, self._signal = True, signal.Signals(number)
        if number != signal.SIGTERM:
            self._console.quiet = True  # writing to a closed terminal fails

    def _terminate(self, trainer: pl.Trainer, pl_module: pl.LightningModule, n_batches: int) -> None:
        """Write a checkpoint and exit, all ranks together: launchers kill ranks that outlive another one."""
        steps = int(trainer.estimated_stepping_batches)
        message = f"ended by {self._signal.name} after step {trainer.global_step} of {steps}"
        if self._checkpointing is not None:
            self._checkpointing.write_if_new(trainer, pl_module, n_batches)
            message += f": resume with {self._checkpointing.resume_command}"
        self._console.print(message, style="yellow", highlight=False, soft_wrap=True)
        trainer.strategy.barrier()
        raise SystemExit(128 + self._signal)
