"""Set up Lightning's Trainer and run it: quiet, seeded, with the best weights at the end."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from rich.console import Console

from elinformer.data.windows import window_loader
from elinformer.errors import InputError, MissingExtraError
from elinformer.training.best_weights import BestWeights
from elinformer.training.progress import TrainingProgress

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import torch

    from elinformer.data.windows import WindowDataset
    from elinformer.training.config import TrainingConfig
    from elinformer.training.module import ForecastModule

LIGHTNING_LOGGERS = ("pytorch_lightning", "lightning.pytorch", "lightning_fabric", "lightning.fabric")

NOT_FOR_USERS = (
    ".*does not have many workers.*",  # a batch is one gather
    ".*GPU available but not used.*",  # the user said so
    ".*LeafSpec.*",  # Lightning's own use of PyTorch
)
"""Lightning's warnings that say nothing about the data or the settings."""


@dataclass(frozen=True)
class FitResult:
    """How training went.

    Attributes:
        seconds: Wall-clock time.
        epochs: Epochs begun.
        best_epoch: Where the weights that were kept come from, from 1.
        interrupted: Whether Ctrl-C ended it early.
    """

    seconds: float
    epochs: int
    best_epoch: int
    interrupted: bool


def fit(
    module: ForecastModule,
    train: WindowDataset,
    validation: WindowDataset,
    *,
    tokens_per_window: int,
    generator: torch.Generator,
    console: Console | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> FitResult:
    """Train `module` in place and leave it with the weights of the lowest validation loss.

    The first Ctrl-C ends training after the step in progress and keeps the best weights so far.

    Args:
        module: What to train; its `config` says how.
        train: Training windows.
        validation: Validation windows.
        tokens_per_window: Series times patches, for the size of micro-batches.
        generator: Orders the training windows.
        console: Where the progress bar goes; standard error by default.
        callbacks: Others of Lightning's that watch the training.

    Raises:
        InputError: The error became NaN at every validation.
    """
    config = module.config
    parts = config.micro_batches(tokens_per_window)
    size = -(-config.batch_size // parts)
    best = BestWeights(config.patience)
    watching = [best, TrainingProgress(console or Console(stderr=True), best), *callbacks]
    loaders = window_loader(train, size, shuffle=True, generator=generator), window_loader(validation, 2 * size)
    began = time.monotonic()
    with _quiet():
        trainer = _trainer(config, parts, watching)
        with _ctrl_c_stops(trainer) as interrupted:
            trainer.fit(module, *loaders)
    if not best.epoch and not interrupted:
        raise InputError(
            f"expected training to converge, but the validation error was never finite: lower learning_rate "
            f"(now {config.learning_rate}) or look at the scale of the data"
        )
    best.restore(module)
    return FitResult(time.monotonic() - began, trainer.current_epoch, best.epoch, bool(interrupted))


def _trainer(config: TrainingConfig, accumulate: int, callbacks: list[pl.Callback]) -> pl.Trainer:
    try:
        return pl.Trainer(
            accelerator=config.device,
            devices=1,
            max_epochs=config.epochs,
            min_epochs=0,
            accumulate_grad_batches=accumulate,
            gradient_clip_val=config.gradient_clip,
            callbacks=callbacks,
            logger=_logger(config),
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (RuntimeError, MisconfigurationException) as error:  # Lightning's for a device that is not there
        raise InputError(
            f"expected a device this machine has, got {config.device!r}: use --device auto or cpu"
        ) from error


def _logger(config: TrainingConfig) -> Any:
    if config.logger == "csv":
        return CSVLogger(config.log_dir, name="")
    if config.logger == "tensorboard":
        try:
            return TensorBoardLogger(config.log_dir, name="")
        except ModuleNotFoundError as error:
            raise MissingExtraError('TensorBoard logs need an extra: pip install "elinformer[tensorboard]"') from error
    return False


@contextmanager
def _quiet() -> Generator[None]:
    """Without Lightning's hints on devices and loader workers: batches are one gather and need no workers."""
    loggers = [logging.getLogger(name) for name in LIGHTNING_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for hint in NOT_FOR_USERS:
            warnings.filterwarnings("ignore", message=hint)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def _ctrl_c_stops(trainer: pl.Trainer) -> Generator[list[bool]]:
    """Let the first Ctrl-C end training in order; the list has an entry where it came."""
    came: list[bool] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def stop(*_: Any) -> None:
        came.append(True)
        trainer.should_stop = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)
