"""Train a model with Lightning: seeded, without output of Lightning, with the best weights at the end."""

from __future__ import annotations

import warnings
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from rich.console import Console

from elinformer._console import plain_console
from elinformer._dtype import float32_default
from elinformer._process import is_first_process
from elinformer._processor import emulates_bfloat16
from elinformer._quiet import LIGHTNING, quiet
from elinformer.data.windows import window_loader
from elinformer.errors import InputError, MissingExtraError
from elinformer.training.batches import ShuffledBatches, training_loader
from elinformer.training.blend import blend_with_simple_forecasts, reset_blend
from elinformer.training.callbacks.averaging import AveragedWeights
from elinformer.training.callbacks.best_weights import BestWeights
from elinformer.training.callbacks.calibration import Calibration
from elinformer.training.callbacks.checkpointing import Checkpointing
from elinformer.training.callbacks.gradients import MAX_SKIPPED_IN_A_ROW, RescaleLastStep, SkipNonFiniteSteps
from elinformer.training.callbacks.history import History
from elinformer.training.callbacks.progress import Clock, ProgressBar
from elinformer.training.callbacks.signals import StopOnSignal
from elinformer.training.module import ForecastModule
from elinformer.training.ranks.machines import Machines, explain_lost_rank
from elinformer.training.ranks.random_numbers import seeded
from elinformer.training.ranks.strategy import sharded_of
from elinformer.training.start import start_from_simple_forecast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from torch import nn

    from elinformer.data.scaling import Scaler
    from elinformer.data.series_info import SeriesInfo
    from elinformer.data.windows import SplitPanel, WindowDataset
    from elinformer.evaluation import Loss
    from elinformer.partition.ranks import Mesh
    from elinformer.run_folder.folder import UnfinishedRun
    from elinformer.training.callbacks.history import Epoch
    from elinformer.training.config import Budget, TrainingConfig

SLOW_PRECISION = "bfloat16 is emulated on this processor, which is slower than float32: use precision=32-true"

IGNORED_WARNINGS = (
    ".*does not have many workers.*",  # a batch is one indexing operation
    ".*GPU available but not used.*",  # the user chose the device
    ".*your dataloader is not resumable.*",  # `ShuffledBatches` is
    ".*LeafSpec.*",  # Lightning uses a deprecated function of PyTorch
    ".*sync_dist=True.*",  # logged values are the same on all ranks
)
"""Warnings of Lightning that concern neither data nor settings."""


@dataclass(frozen=True)
class FitResult:
    """Course of a training.

    Attributes:
        seconds: Wall-clock time, including the time before a restart.
        epochs: Number of epochs that were started.
        best_epoch: Epoch of the best weights, from 1.
        interrupted: True if Ctrl-C ended training early.
        skipped_steps: Number of steps skipped because loss or gradient was not finite.
        diverged: True if too many steps in a row were skipped.
        sharpness: Sharpness of attention chosen on validation: see `elinformer.training.callbacks.calibration`.
        history: Losses of every epoch: see `elinformer.training.callbacks.history`.
    """

    seconds: float
    epochs: int
    best_epoch: int
    interrupted: bool
    skipped_steps: int = 0
    diverged: bool = False
    sharpness: float = 1.0
    history: Sequence[Epoch] = ()


class TrainingOutput(NamedTuple):
    """Trained model, the ranks that trained it, and the course of the training."""

    model: nn.Module
    mesh: Mesh
    result: FitResult


def train(
    data: SplitPanel,
    info: SeriesInfo,
    new_model: Callable[[], nn.Module],
    config: TrainingConfig,
    *,
    scaler: Scaler,
    loss: Loss,
    is_trained: bool = False,
    **options: Any,
) -> TrainingOutput:
    """Train a new model on the training windows, and keep the weights with the lowest validation loss.

    The caller's random numbers do not change.

    Args:
        data: Panel and its split.
        info: Calendar and covariates of training.
        new_model: Function that builds the model, with seeded random numbers.
        config: Options of training.
        scaler: Mean and standard deviation of training.
        loss: Meaning of the outputs.
        is_trained: True if `new_model` returns trained weights, which training goes on from.
        options: `console`, `callbacks`, `run` and `machines` of `fit`.
    """
    with seeded(config.seed), float32_default():
        model = new_model()
        scale = data.error_scale(config.loss_scale)
        module = ForecastModule(model, scaler, scale, config, loss, covariates=info.moments)
        tokens = getattr(model, "tokens_per_window", data.panel.n_series)
        windows, validation = (data.windows(split, info.calendar) for split in ("train", "validation"))
        reset_blend(model)
        if not is_trained:
            start_from_simple_forecast(module.scaled, windows)
        result = fit(module, windows, validation, tokens_per_window=tokens, **options)
        blend_with_simple_forecasts(module.scaled, validation, loss, config.tokens_at_once)
    return TrainingOutput(model, module.mesh, result)


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

    Ctrl-C ends training after the current step and keeps the best weights so far. SIGTERM ends the process after the
    current step, with a checkpoint if there is a run.

    Args:
        module: Module to train; its `config` holds the options.
        train: Training windows.
        validation: Validation windows.
        tokens_per_window: Series times patches; decides the size of micro-batches.
        console: Console for messages and the progress bar; standard error by default, with a line every tenth of the
            training if it is no terminal.
        callbacks: Other Lightning callbacks.
        run: Run folder for checkpoints; training resumes from the newest one.
        machines: Devices and machines; one rank by default. All ranks call this and end with the whole module.

    Raises:
        InputError: All validation errors were NaN, or no step was finite; or another rank ended.
        SystemExit: SIGTERM ended training, with exit code 143.
    """
    config, machines = module.config, machines or Machines()
    _check_partitions(config, machines)
    lines = console is None
    console = (console or plain_console(stderr=True)) if is_first_process() else Console(quiet=True)
    budget = config.budget(len(train), tokens_per_window)
    n_micro_batches = config.micro_batches(budget.batch_size, -(-tokens_per_window // machines.n_ranks))
    if config.precision != "32-true" and config.device in {"auto", "cpu"} and _is_slow_in_bfloat16():
        console.print(SLOW_PRECISION, style="yellow", highlight=False, soft_wrap=True)
    batches = ShuffledBatches(
        len(train), budget.batch_size, n_micro_batches, seed=config.seed, steps_per_epoch=budget.steps_per_epoch
    )
    checkpointing = run and Checkpointing(run, batches, config.checkpoint_minutes, console)
    progress = ProgressBar(console, best := BestWeights(budget.patience), lines=lines)
    own = _Callbacks.create(
        config, budget, console, best=best, others=[progress, *callbacks], checkpointing=checkpointing
    )
    loaders = training_loader(train, batches), window_loader(validation, 2 * -(-budget.batch_size // n_micro_batches))
    with _ignore_lightning_hints():
        log_folder = _log_folder(config, run)
        trainer = _new_trainer(
            config,
            epochs=budget.epochs,
            n_micro_batches=n_micro_batches,
            callbacks=own.ordered,
            machines=machines,
            log_folder=log_folder,
        )
        with run.locked() if run else nullcontext(), own.stopping.catch_interrupts(), explain_lost_rank(run):
            trainer.fit(module, *loaders)
    return own.finish(trainer, module, console)


@dataclass(frozen=True)
class _Callbacks:
    """Callbacks that decide the result of a training.

    Attributes:
        ordered: All callbacks in the order in which Lightning calls them, those of the user included.
    """

    clock: Clock
    history: History
    best: BestWeights
    steps: SkipNonFiniteSteps
    stopping: StopOnSignal
    calibration: Calibration
    ordered: list[pl.Callback]

    @classmethod
    def create(
        cls,
        config: TrainingConfig,
        budget: Budget,
        console: Console,
        *,
        best: BestWeights,
        others: Sequence[pl.Callback],
        checkpointing: Checkpointing | None,
    ) -> _Callbacks:
        """Create the callbacks of a training."""
        clock, steps = Clock(), SkipNonFiniteSteps()
        history = History(clock)
        stopping = StopOnSignal(checkpointing, console)
        calibration = Calibration(best, stopping)
        ordered = [clock, history, best, steps, RescaleLastStep(), *others]
        if config.averaged_epochs:
            # After the callbacks that may copy the validated weights, before those that write checkpoints.
            ordered.append(AveragedWeights(config.averaged_epochs * budget.averaged_steps))
        ordered += [stopping, calibration] if checkpointing is None else [stopping, checkpointing, calibration]
        return cls(clock, history, best, steps, stopping, calibration, ordered)

    def finish(self, trainer: pl.Trainer, module: ForecastModule, console: Console) -> FitResult:
        """Put the best weights and the chosen sharpness into the module, with all series, and return the result.

        Raises:
            InputError: Training diverged before it found any weights.
        """
        interrupted = self.stopping.was_interrupted(trainer) or self.calibration.interrupted
        if not interrupted:
            _refuse_divergence(trainer, self.best, self.steps, module.config.learning_rate)
        if self.steps.has_diverged:
            console.print(
                f"training ended early: loss or gradient was not finite in {MAX_SKIPPED_IN_A_ROW} steps in a row; the "
                f"best weights, of epoch {self.best.epoch}, are kept",
                style="yellow",
                highlight=False,
            )
        self.best.restore(module)
        self.calibration.apply(module)
        if (sharded := sharded_of(trainer)) is not None:
            sharded.make_whole()
        return FitResult(
            self.clock.seconds,
            trainer.current_epoch,
            self.best.epoch,
            interrupted,
            self.steps.n_skipped,
            self.steps.has_diverged,
            self.calibration.sharpness,
            tuple(self.history.epochs),
        )


def _is_slow_in_bfloat16() -> bool:
    return not torch.cuda.is_available() and not torch.backends.mps.is_available() and emulates_bfloat16()


def _check_partitions(config: TrainingConfig, machines: Machines) -> None:
    if config.series_at_once and machines.series_parallel > 1:
        raise InputError(
            f"expected series in partitions or on several ranks, got series_at_once={config.series_at_once} and "
            f"series_parallel={machines.series_parallel}: leave one of them out"
        )


def _refuse_divergence(trainer: pl.Trainer, best: BestWeights, steps: SkipNonFiniteSteps, rate: float) -> None:
    reason = "" if best.epoch else "the validation error was never finite"
    if steps.n_skipped == trainer.global_step:
        reason = "loss or gradient was finite in no step"
    if reason:
        raise InputError(
            f"expected training to converge, but {reason}: lower learning_rate (now {rate}) or check the scale of the "
            "data"
        )


def _new_trainer(
    config: TrainingConfig,
    *,
    epochs: int,
    n_micro_batches: int,
    callbacks: list[pl.Callback],
    machines: Machines,
    log_folder: Path,
) -> pl.Trainer:
    try:
        return pl.Trainer(
            accelerator=config.device,
            **machines.trainer_options(),
            max_epochs=epochs,
            min_epochs=0,
            accumulate_grad_batches=n_micro_batches,
            gradient_clip_val=config.gradient_clip,
            callbacks=callbacks,
            logger=_new_logger(config, log_folder),
            log_every_n_steps=1,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (RuntimeError, MisconfigurationException) as error:  # raised by Lightning for an absent device
        raise InputError(
            f"expected a device of this machine, got {config.device!r}: use --device auto or cpu"
        ) from error


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
