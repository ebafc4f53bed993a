"""Train a model with Lightning: seeded, without output of Lightning, with the best weights at the end."""

from __future__ import annotations

import copy
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from elinformer._dtype import float32_default
from elinformer._process import is_first_process
from elinformer.data.windows import window_loader
from elinformer.errors import InputError
from elinformer.partition.ranks import Mesh
from elinformer.run_folder.folder import STAGES, first_line
from elinformer.training.blend import blend_with_simple_forecasts, reset_blend
from elinformer.training.callbacks.averaging import AveragedWeights
from elinformer.training.callbacks.best_weights import BestWeights
from elinformer.training.callbacks.calibration import Calibration
from elinformer.training.callbacks.gradients import MAX_SKIPPED_IN_A_ROW, RescaleLastStep, SkipNonFiniteSteps
from elinformer.training.callbacks.history import History
from elinformer.training.callbacks.pace import Deadline
from elinformer.training.callbacks.progress import Clock, ProgressBar
from elinformer.training.callbacks.signals import StopOnSignal
from elinformer.training.config import Budget
from elinformer.training.covariate_effects import measure_covariate_effects
from elinformer.training.module import ForecastModule
from elinformer.training.ranks.random_numbers import seeded
from elinformer.training.ranks.strategy import sharded_of
from elinformer.training.refit import config_of_refit, refit
from elinformer.training.stage import Stage
from elinformer.training.start import start_from_simple_forecast
from elinformer.training.time_limit import refit_steps_within, within_time

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytorch_lightning as pl
    from rich.console import Console
    from torch import nn

    from elinformer.data.scaling import Scaler
    from elinformer.data.series_info import SeriesInfo
    from elinformer.data.windows import SplitPanel, WindowDataset
    from elinformer.evaluation import Loss
    from elinformer.run_folder.folder import UnfinishedRun
    from elinformer.training.callbacks.history import Epoch
    from elinformer.training.config import TrainingConfig
    from elinformer.training.ranks.machines import Machines

BUDGET = "budget"
"""Key of the steps of a training, in the config.json of a run in training and in the state before a refit."""


@dataclass(frozen=True)
class FitResult:
    """Course of a training.

    Attributes:
        seconds: Wall-clock time, including the time before a restart and that of the refit.
        epochs: Number of epochs that were started.
        best_epoch: Epoch of the best weights, from 1.
        interrupted: True if Ctrl-C ended training early.
        skipped_steps: Number of steps skipped because loss or gradient was not finite.
        diverged: True if too many steps in a row were skipped.
        sharpness: Sharpness of attention chosen on validation: see `elinformer.training.callbacks.calibration`.
        history: Losses of every epoch: see `elinformer.training.callbacks.history`.
        refit_steps: Number of steps of the refit on all data; 0 = there was none.
    """

    seconds: float
    epochs: int
    best_epoch: int
    interrupted: bool
    skipped_steps: int = 0
    diverged: bool = False
    sharpness: float = 1.0
    history: Sequence[Epoch] = ()
    refit_steps: int = 0


class TrainingOutput(NamedTuple):
    """Trained model, the same model refitted on all data, the ranks that trained it, and the course of the training."""

    model: nn.Module
    refitted: nn.Module | None
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
    console: Console | None = None,
    machines: Machines | None = None,
    run: UnfinishedRun | None = None,
    callbacks: Sequence[pl.Callback] = (),
) -> TrainingOutput:
    """Train a new model on the training windows, and keep the weights with the lowest validation loss.

    If `config` says so, a copy of it is then trained further on all windows: see `elinformer.training.refit`.
    The caller's random numbers do not change.

    Args:
        data: Panel and its split.
        info: Calendar and covariates of training.
        new_model: Function that builds the model, with seeded random numbers.
        config: Options of training.
        scaler: Mean and standard deviation of training.
        loss: Meaning of the outputs.
        is_trained: True if `new_model` returns trained weights, which training goes on from.
        console: Console for messages and progress; see `fit`.
        machines: Devices and machines; one rank by default.
        run: Run folder for checkpoints; training resumes from the newest one.
        callbacks: Other Lightning callbacks of the training before the refit.
    """
    with seeded(config.seed), float32_default():
        model = new_model()
        work = _Work(data, info, config, scaler, loss, console, machines, callbacks)
        mesh = Mesh()
        if (chosen := _read_chosen(run, model)) is None:
            chosen, mesh = work.choose(model, run, is_trained=is_trained)
            if run is not None and (config.refit or config.n_members > 1):
                _write_chosen(run, model, chosen)
        if chosen.budget is None:
            return TrainingOutput(model, None, mesh, chosen.result)
        return work.refit(model, run, chosen)


class _Chosen(NamedTuple):
    """Result of the training before a refit, and the steps of the refit; None = there is none."""

    result: FitResult
    budget: Budget | None


@dataclass(frozen=True)
class _Work:
    """Data and options of a training: see `train`."""

    data: SplitPanel
    info: SeriesInfo
    config: TrainingConfig
    scaler: Scaler
    loss: Loss
    console: Console | None
    machines: Machines | None
    callbacks: Sequence[pl.Callback]

    def choose(self, model: nn.Module, run: UnfinishedRun | None, *, is_trained: bool) -> tuple[_Chosen, Mesh]:
        """Train the model in place until validation has chosen its weights, and plan the refit."""
        began, config = time.monotonic(), self.config
        module = self._module(model, config)
        windows, validation = (self.data.windows(split, self.info.calendar) for split in ("train", "validation"))
        windows, checked = windows.without_means(), validation.without_means()
        reset_blend(model)
        if not is_trained:
            measure_covariate_effects(module.scaled, windows)
            start_from_simple_forecast(module.scaled, windows)
        options = self._options(model)
        key = f"{BUDGET}-{0 if run is None else run.member}"
        budget = Budget(**run.config[key]) if run is not None and key in run.config else None
        if budget is None:
            budget = config.budget(len(windows), options["tokens_per_window"])
            budget = within_time(module, windows, checked, budget, **options)
            run = run and replace(run, config={**run.config, key: budget._asdict()})
        result = fit(module, windows, checked, callbacks=self.callbacks, run=run, budget=budget, **options)
        blend_with_simple_forecasts(module.scaled, validation, self.loss, config.tokens_at_once)
        if not config.refit or result.interrupted:
            return _Chosen(result, None), module.mesh
        used = max(time.monotonic() - began, result.seconds)  # with the time before a restart
        limit = config.seconds_allowed
        steps = refit_steps_within(budget, result.best_epoch, limit, used=used, used_epochs=result.epochs)
        return _Chosen(result, budget.of_refit(steps, len(self._all_windows()))), module.mesh

    def refit(self, model: nn.Module, run: UnfinishedRun | None, chosen: _Chosen) -> TrainingOutput:
        """Train a copy of the model further on all windows."""
        if chosen.budget is None:
            raise AssertionError("a refit has steps")
        module = self._module(copy.deepcopy(model), config_of_refit(self.config))
        end = None if run is None else run.at(STAGES[1]).checkpoints
        if end is not None and (state := end.read_end().state) is not None:
            module.model.load_state_dict(state["model"])
            return TrainingOutput(model, module.model, module.mesh, FitResult(**state["result"]))
        found = refit(module, self._all_windows(), chosen.budget, run=run, **self._options(model))
        result = replace(
            chosen.result,
            seconds=chosen.result.seconds + found.seconds,
            refit_steps=found.steps,
            interrupted=found.interrupted,
        )
        if end is not None and found.model is not None and is_first_process():
            end.write_end({"model": dict(found.model.state_dict()), "result": asdict(result)})
        return TrainingOutput(model, found.model, module.mesh, result)

    def _module(self, model: nn.Module, config: TrainingConfig) -> ForecastModule:
        scale = self.data.error_scale(config.loss_scale)
        return ForecastModule(model, self.scaler, scale, config, self.loss, covariates=self.info.moments)

    def _all_windows(self) -> WindowDataset:
        return self.data.all_windows(self.info.calendar).without_means()

    def _options(self, model: nn.Module) -> dict[str, Any]:
        tokens = getattr(model, "tokens_per_window", self.data.panel.n_series)
        return {"tokens_per_window": tokens, "console": self.console, "machines": self.machines}


def _write_chosen(run: UnfinishedRun, model: nn.Module, chosen: _Chosen) -> None:
    """Write the chosen weights to the run folder, so that what follows need not repeat what was before it."""
    if not chosen.result.interrupted and is_first_process():
        budget = chosen.budget and chosen.budget._asdict()
        run.checkpoints.write_end({"model": dict(model.state_dict()), "result": asdict(chosen.result), BUDGET: budget})


def _read_chosen(run: UnfinishedRun | None, model: nn.Module) -> _Chosen | None:
    """Load the chosen weights into the model, and return their result, if the run is at its refit.

    Raises:
        InputError: The weights are those of another model.
    """
    if run is None or not run.exists:
        return None
    state, _ = run.checkpoints.read_end()
    if state is None:
        return None
    try:
        model.load_state_dict(state["model"])
        return _Chosen(FitResult(**state["result"]), state[BUDGET] and Budget(**state[BUDGET]))
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            f"expected weights of this training, but they do not match ({first_line(error)}): train it again"
        ) from error


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
    budget: Budget | None = None,
) -> FitResult:
    """Train `module` in place and leave it with the averaged weights of the lowest validation loss.

    Ctrl-C ends training after the current step and keeps the best weights so far. SIGTERM ends the process after the
    current step, with a checkpoint if there is a run.

    Args:
        module: Module to train; its `config` holds the options.
        train: Training windows.
        validation: Validation windows; a training in steps forecasts some of them: see `Budget.checked`.
        tokens_per_window: Series times patches; decides the size of micro-batches.
        console: Console for messages and the progress bar; standard error by default, with a line every tenth of the
            training if it is no terminal.
        callbacks: Other Lightning callbacks.
        run: Run folder for checkpoints; training resumes from the newest one.
        machines: Devices and machines; one rank by default. All ranks call this and end with the whole module.
        budget: Steps of the training; by default those of the options, within their time limit.

    Raises:
        InputError: All validation errors were NaN, or no step was finite; or another rank ended.
        SystemExit: SIGTERM ended training, with exit code 143.
    """
    config = module.config
    options: dict[str, Any] = {"tokens_per_window": tokens_per_window, "console": console, "machines": machines}
    if budget is None:
        budget = within_time(module, train, validation, config.budget(len(train), tokens_per_window), **options)
    stage = Stage.of(config, budget, train, run=run, **options)
    stage.warn_if_slow()
    own = _Callbacks.create(stage, callbacks)
    loader = window_loader(budget.checked(validation), 2 * -(-budget.batch_size // stage.batches.micro_batches))
    trainer = stage.carry_out(module, own.ordered, own.stopping, loader)
    return own.finish(trainer, module, stage.console)


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
    def create(cls, stage: Stage, others: Sequence[pl.Callback]) -> _Callbacks:
        """Create the callbacks of a training, with `others` of the user."""
        clock, steps, best = Clock(), SkipNonFiniteSteps(), BestWeights(stage.budget.patience)
        history, checkpointing = History(clock), stage.checkpointing()
        stopping = StopOnSignal(checkpointing, stage.console)
        calibration = Calibration(best, stopping)
        progress = ProgressBar(stage.console, best, lines=stage.lines)
        ordered = [clock, history, best, steps, RescaleLastStep(), progress, *others]
        if stage.budget.seconds:
            ordered.append(Deadline(stage.budget.seconds))
        if stage.config.averaged_epochs:
            # After the callbacks that may copy the validated weights, before those that write checkpoints.
            ordered.append(AveragedWeights(stage.config.averaged_epochs * stage.budget.averaged_steps))
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


def _refuse_divergence(trainer: pl.Trainer, best: BestWeights, steps: SkipNonFiniteSteps, rate: float) -> None:
    reason = "" if best.epoch else "the validation error was never finite"
    if steps.n_skipped == trainer.global_step:
        reason = "loss or gradient was finite in no step"
    if reason:
        raise InputError(
            f"expected training to converge, but {reason}: lower learning_rate (now {rate}) or check the scale of the "
            "data"
        )
