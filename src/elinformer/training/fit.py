"""Set up Lightning's Trainer and run it: quiet, seeded, with the best weights at the end."""

from __future__ import annotations

import warnings
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from rich.console import Console

from elinformer._console import plain_console
from elinformer._process import is_first_process
from elinformer._quiet import LIGHTNING, quiet
from elinformer.data.windows import window_loader
from elinformer.errors import InputError, MissingExtraError
from elinformer.training.batches import ShuffledBatches, training_loader
from elinformer.training.callbacks.averaging import AveragedWeights
from elinformer.training.callbacks.best_weights import BestWeights
from elinformer.training.callbacks.calibration import Calibration
from elinformer.training.callbacks.checkpointing import Checkpointing
from elinformer.training.callbacks.clock import Clock
from elinformer.training.callbacks.finite import IN_A_ROW, FiniteSteps, WholeLastStep
from elinformer.training.callbacks.progress import TrainingProgress
from elinformer.training.callbacks.stopping import Stopping
from elinformer.training.module import ForecastModule
from elinformer.training.ranks.machines import Machines, lost_ranks_named
from elinformer.training.ranks.random_numbers import seeded
from elinformer.training.ranks.strategy import sharded_of
from elinformer.training.result import FitResult

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from torch import nn

    from elinformer.data.calendar import Calendar
    from elinformer.data.scaling import Scaler
    from elinformer.data.windows import SplitPanel, WindowDataset
    from elinformer.evaluation import Loss
    from elinformer.partition.ranks import Mesh
    from elinformer.run_folder.unfinished import UnfinishedRun
    from elinformer.training.config import TrainingConfig

NOT_FOR_USERS = (
    ".*does not have many workers.*",  # a batch is one gather
    ".*GPU available but not used.*",  # the user said so
    ".*your dataloader is not resumable.*",  # its batches are: they begin where they ended
    ".*LeafSpec.*",  # Lightning's own use of PyTorch
    ".*sync_dist=True.*",  # what is logged is the same on all ranks
)
"""Lightning's warnings that say nothing about the data or the settings."""


class Trained(NamedTuple):
    """A model that was trained, the ranks that trained it, and how it went."""

    model: nn.Module
    mesh: Mesh
    result: FitResult


def train(
    data: SplitPanel,
    calendar: Calendar | None,
    new_model: Callable[[], nn.Module],
    config: TrainingConfig,
    *,
    scaler: Scaler,
    loss: Loss,
    **options: Any,
) -> Trained:
    """Train a new model on the training windows, and keep the weights with the lowest validation loss.

    Random numbers of the caller stay as they are.

    Args:
        data: The panel and its split.
        calendar: Slots and days of training.
        new_model: Builds the model, with seeded random numbers.
        config: Options of training.
        scaler: Mean and standard deviation of training.
        loss: Meaning of the outputs.
        options: `console`, `callbacks`, `run` and `machines` of `fit`.
    """
    with seeded(config.seed):
        model = new_model()
        module = ForecastModule(model, scaler, data.error_scale(config.loss_scale), config, loss)
        tokens = getattr(model, "tokens_per_window", data.panel.n_series)
        windows = (data.windows(part, calendar) for part in ("train", "validation"))
        result = fit(module, *windows, tokens_per_window=tokens, **options)
    return Trained(model, module.mesh, result)


def fit(
    module: ForecastModule,
    train: WindowDataset,
    validation: WindowDataset,
    *,
    tokens_per_window: int,
    console: Console | None = None,
    callbacks: Sequence[pl.Callback] = (),
    run: UnfinishedRun | None = None,
    machines: Machines | None = None,
) -> FitResult:
    """Train `module` in place and leave it with the averaged weights of the lowest validation loss.

    The first Ctrl-C ends training after the step in progress and keeps the best weights so far. SIGTERM ends the
    process after it, with a checkpoint where there is a run.

    Args:
        module: What to train; its `config` says how.
        train: Training windows.
        validation: Validation windows.
        tokens_per_window: Series times patches, for the size of micro-batches.
        console: Where the progress bar goes; standard error by default.
        callbacks: Others of Lightning's that watch the training.
        run: Where checkpoints go, and where training goes on from the newest one.
        machines: On how many ranks; on one by default. All call this, and all end with the whole module.

    Raises:
        InputError: The error became NaN at every validation, or in every step; another rank ended.
        SystemExit: SIGTERM came, with 143.
    """
    config, machines = module.config, machines or Machines()
    _refuse_parts_on_ranks(config, machines)
    console = (console or plain_console(stderr=True)) if is_first_process() else Console(quiet=True)
    parts = config.micro_batches(-(-tokens_per_window // machines.world))
    batches = ShuffledBatches(len(train), config.batch_size, parts, seed=config.seed)
    clock, best, finite = Clock(), BestWeights(config.patience), FiniteSteps()
    written = None if run is None else Checkpointing(run.checkpoints(), batches, config.checkpoint_minutes, console)
    stopping = Stopping(written, console)
    calibration = Calibration(best, stopping)
    watching = [clock, best, finite, WholeLastStep(), TrainingProgress(console, best), *callbacks]
    watching += [*_averaging(config, -(-len(train) // config.batch_size)), stopping]
    watching += [calibration] if written is None else [written, calibration]
    loaders = training_loader(train, batches), window_loader(validation, 2 * -(-config.batch_size // parts))
    with _without_hints():
        trainer = _trainer(config, parts, watching, machines)
        in_folder = nullcontext() if run is None else run.in_training()
        with in_folder, stopping.listening(), lost_ranks_named(run and run.folder):
            trainer.fit(module, *loaders)
    interrupted = stopping.was_interrupted(trainer) or calibration.interrupted
    if not interrupted:
        _refuse_divergence(trainer, best, finite, config.learning_rate)
    if finite.persists:
        _say_that_it_ended_early(console, best)
    best.restore(module)
    calibration.apply(module)
    if (sharded := sharded_of(trainer)) is not None:
        sharded.make_whole()
    return FitResult(
        clock.seconds,
        trainer.current_epoch,
        best.epoch,
        interrupted,
        finite.skipped,
        finite.persists,
        calibration.sharpness,
    )


def _refuse_parts_on_ranks(config: TrainingConfig, machines: Machines) -> None:
    if config.series_at_once and machines.series_parallel > 1:
        raise InputError(
            f"expected series in parts or on several ranks, got series_at_once={config.series_at_once} and "
            f"series_parallel={machines.series_parallel}: leave one of them out"
        )


def _say_that_it_ended_early(console: Console, best: BestWeights) -> None:
    console.print(
        f"training ended early: loss or gradient were not finite in {IN_A_ROW} steps in a row; the best weights so "
        f"far, of epoch {best.epoch}, are kept",
        style="yellow",
        highlight=False,
    )


def _averaging(config: TrainingConfig, steps_an_epoch: int) -> list[pl.Callback]:
    """After all that may keep the weights that were validated, the averages, and before what writes checkpoints."""
    return [AveragedWeights(config.averaged_epochs * steps_an_epoch)] if config.averaged_epochs else []


def _refuse_divergence(trainer: pl.Trainer, best: BestWeights, finite: FiniteSteps, rate: float) -> None:
    reason = "" if best.epoch else "the validation error was never finite"
    if finite.skipped == trainer.global_step:
        reason = "loss or gradient were finite in no step"
    if reason:
        raise InputError(
            f"expected training to converge, but {reason}: lower learning_rate (now {rate}) or look at the scale of "
            "the data"
        )


def _trainer(config: TrainingConfig, accumulate: int, callbacks: list[pl.Callback], machines: Machines) -> pl.Trainer:
    try:
        return pl.Trainer(
            accelerator=config.device,
            **machines.trainer_options(),
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
def _without_hints() -> Generator[None]:
    """Without Lightning's hints on devices and loader workers: batches are one gather and need no workers."""
    with quiet(*LIGHTNING), warnings.catch_warnings():
        for hint in NOT_FOR_USERS:
            warnings.filterwarnings("ignore", message=hint)
        yield
