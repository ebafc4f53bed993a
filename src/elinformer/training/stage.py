"""Stage of a training: a run of Lightning's trainer with checkpoints, signals and progress."""

from __future__ import annotations

import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from rich.console import Console

from elinformer._console import plain_console
from elinformer._process import is_first_process
from elinformer._processor import emulates_bfloat16
from elinformer._quiet import LIGHTNING, quiet
from elinformer.errors import InputError, MissingExtraError
from elinformer.training.batches import ShuffledBatches, training_loader
from elinformer.training.callbacks.checkpointing import Checkpointing
from elinformer.training.callbacks.signals import StopOnSignal
from elinformer.training.ranks.machines import Machines, explain_lost_rank

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from elinformer.data.windows import WindowDataset
    from elinformer.run_folder.folder import UnfinishedRun
    from elinformer.training.config import Budget, TrainingConfig
    from elinformer.training.module import ForecastModule

SLOW_PRECISION = "bfloat16 is emulated on this processor, which is slower than float32: use precision=32-true"

IGNORED_WARNINGS = (
    ".*does not have many workers.*",  # a batch is one indexing operation
    ".*GPU available but not used.*",  # the user chose the device
    ".*your dataloader is not resumable.*",  # `ShuffledBatches` is
    ".*LeafSpec.*",  # Lightning uses a deprecated function of PyTorch
    ".*have no `val_dataloader`.*",  # a refit has nothing to validate on
    ".*sync_dist=True.*",  # logged values are the same on all ranks
)
"""Warnings of Lightning that concern neither data nor settings."""


@dataclass(frozen=True)
class Stage:
    """Settings of a stage of a training.

    Attributes:
        config: Options of training.
        budget: Steps of the stage.
        batches: Batches of windows.
        windows: Training windows.
        console: Console for messages and the progress bar; quiet on all ranks but the first.
        lines: True prints a line every tenth of the stage if the console is no terminal.
        machines: Devices and machines.
        run: Run folder for checkpoints; None = there are none.
    """

    config: TrainingConfig
    budget: Budget
    batches: ShuffledBatches
    windows: WindowDataset
    console: Console
    lines: bool
    machines: Machines
    run: UnfinishedRun | None

    @classmethod
    def of(
        cls,
        config: TrainingConfig,
        budget: Budget,
        windows: WindowDataset,
        *,
        tokens_per_window: int,
        console: Console | None = None,
        machines: Machines | None = None,
        run: UnfinishedRun | None = None,
    ) -> Stage:
        """Return a stage; see `elinformer.training.fit.fit` for the arguments.

        Raises:
            InputError: Partitions are asked for on several ranks.
        """
        machines = machines or Machines()
        _check_partitions(config, machines)
        lines = console is None
        console = (console or plain_console(stderr=True)) if is_first_process() else Console(quiet=True)
        n_micro_batches = config.micro_batches(budget.batch_size, -(-tokens_per_window // machines.n_ranks))
        batches = ShuffledBatches(
            len(windows), budget.batch_size, n_micro_batches, seed=config.seed, steps_per_epoch=budget.steps_per_epoch
        )
        return cls(config, budget, batches, windows, console, lines, machines, run)

    def warn_if_slow(self) -> None:
        """Say so if the precision is slow on this processor."""
        is_on_cpu = self.config.device in {"auto", "cpu"}
        if self.config.precision != "32-true" and is_on_cpu and _is_slow_in_bfloat16():
            self.console.print(SLOW_PRECISION, style="yellow", highlight=False, soft_wrap=True)

    def checkpointing(self) -> Checkpointing | None:
        """Return a callback that writes checkpoints, if there is a run folder."""
        if self.run is None:
            return None
        return Checkpointing(self.run, self.batches, self.config.checkpoint_minutes, self.console)

    def carry_out(
        self, module: ForecastModule, callbacks: Sequence[pl.Callback], stopping: StopOnSignal, validation: Any = None
    ) -> pl.Trainer:
        """Train the module, and return the trainer.

        Args:
            module: Module to train, in place.
            callbacks: Callbacks in the order in which Lightning calls them.
            stopping: Callback among them that ends training on a signal.
            validation: Loader of validation windows; None = no validation.
        """
        with _ignore_lightning_hints():
            trainer = self._new_trainer([*callbacks])
            with (
                self.run.locked() if self.run else nullcontext(),
                stopping.catch_interrupts(),
                explain_lost_rank(self.run),
            ):
                trainer.fit(module, training_loader(self.windows, self.batches), validation)
        return trainer

    def _new_trainer(self, callbacks: list[pl.Callback]) -> pl.Trainer:
        try:
            return pl.Trainer(
                accelerator=self.config.device,
                **self.machines.trainer_options(),
                max_epochs=self.budget.epochs,
                min_epochs=0,
                accumulate_grad_batches=self.batches.micro_batches,
                gradient_clip_val=self.config.gradient_clip,
                callbacks=callbacks,
                logger=_new_logger(self.config, _log_folder(self.config, self.run)),
                log_every_n_steps=1,
                num_sanity_val_steps=0,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
            )
        except (RuntimeError, MisconfigurationException) as error:  # raised by Lightning for an absent device
            raise InputError(
                f"expected a device of this machine, got {self.config.device!r}: use --device auto or cpu"
            ) from error


def _is_slow_in_bfloat16() -> bool:
    return not torch.cuda.is_available() and not torch.backends.mps.is_available() and emulates_bfloat16()


def _check_partitions(config: TrainingConfig, machines: Machines) -> None:
    if config.series_at_once and machines.series_parallel > 1:
        raise InputError(
            f"expected series in partitions or on several ranks, got series_at_once={config.series_at_once} and "
            f"series_parallel={machines.series_parallel}: leave one of them out"
        )


def _log_folder(config: TrainingConfig, run: UnfinishedRun | None) -> Path:
    """Return the folder of curves. A run can name none outside its own folder: it may have come from others.

    Raises:
        InputError: It does.
    """
    if run is None:
        return Path(config.log_dir)
    home = run.folder.resolve()
    if not (home / config.log_dir).resolve().is_relative_to(home):
        raise InputError(
            f"expected log_dir inside the folder of the run, got {config.log_dir!r}: choose a name such as logs"
        )
    return run.folder / config.log_dir


def _new_logger(config: TrainingConfig, folder: Path) -> Any:
    if config.logger == "csv":
        return CSVLogger(folder, name="")
    if config.logger == "tensorboard":
        try:
            return TensorBoardLogger(folder, name="")
        except ModuleNotFoundError as error:
            raise MissingExtraError('TensorBoard logs need an extra: pip install "elinformer[tensorboard]"') from error
    return False


@contextmanager
def _ignore_lightning_hints() -> Generator[None]:
    """Hide Lightning's messages about devices and workers of loaders."""
    with quiet(*LIGHTNING), warnings.catch_warnings():
        for message in IGNORED_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        yield
