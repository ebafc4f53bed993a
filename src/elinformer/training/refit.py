"""Refit: the weights that validation has chosen are trained further on all windows, those of the test part included.

The number of steps follows from that of the chosen weights. The result is the mean of the weights before and after,
which errs less than those after (Wortsman et al. 2022, arXiv 2109.01903, for fine-tuning). The blend with simple
forecasts, the sharpness and the calibration of intervals stay those of validation, as no data are left to choose them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch

from elinformer.run_folder.folder import STAGES
from elinformer.training.callbacks.averaging import AveragedWeights
from elinformer.training.callbacks.gradients import RescaleLastStep, SkipNonFiniteSteps
from elinformer.training.callbacks.progress import Clock, ProgressBar
from elinformer.training.callbacks.signals import StopOnSignal
from elinformer.training.config import REFIT_RATE, REFIT_WEIGHT
from elinformer.training.ranks.strategy import sharded_of
from elinformer.training.stage import Stage

if TYPE_CHECKING:
    import pytorch_lightning as pl
    from rich.console import Console
    from torch import nn

    from elinformer.data.windows import WindowDataset
    from elinformer.run_folder.folder import UnfinishedRun
    from elinformer.training.config import Budget, TrainingConfig
    from elinformer.training.module import ForecastModule
    from elinformer.training.ranks.machines import Machines


class Refit(NamedTuple):
    """Refitted model, and the course of the refit.

    Attributes:
        model: The model; None if Ctrl-C ended the refit, or no step was finite.
        steps: Number of steps.
        seconds: Wall-clock time, including the time before a restart.
        interrupted: True if Ctrl-C ended the refit.
    """

    model: nn.Module | None
    steps: int
    seconds: float
    interrupted: bool


def config_of_refit(config: TrainingConfig) -> TrainingConfig:
    """Return the options of the refit that belongs to a training."""
    return replace(config, learning_rate=REFIT_RATE * config.learning_rate, logger=None)


def refit(
    module: ForecastModule,
    windows: WindowDataset,
    budget: Budget,
    *,
    tokens_per_window: int,
    console: Console | None = None,
    machines: Machines | None = None,
    run: UnfinishedRun | None = None,
) -> Refit:
    """Train the chosen weights further, in place. The random numbers are seeded anew.

    Args:
        module: Module with the chosen weights, and with the options of `config_of_refit`.
        windows: All windows.
        budget: Steps of the refit.
        tokens_per_window: Series times patches; decides the size of micro-batches.
        console: Console for messages and progress.
        machines: Devices and machines.
        run: Run folder for checkpoints; the refit resumes from the newest one.
    """
    stage = Stage.of(
        module.config,
        budget,
        windows,
        tokens_per_window=tokens_per_window,
        console=console,
        machines=machines,
        run=None if run is None else run.at(STAGES[1]),
    )
    before = [parameter.detach().cpu().clone() for parameter in module.parameters()]
    torch.manual_seed(module.config.seed)
    clock, steps, checkpointing = Clock(), SkipNonFiniteSteps(), stage.checkpointing()
    averages = AveragedWeights(module.config.averaged_epochs * budget.averaged_steps)
    stopping = StopOnSignal(checkpointing, stage.console)
    progress = ProgressBar(stage.console, None, lines=stage.lines, name="refit on all data")
    callbacks: list[pl.Callback] = [clock, steps, RescaleLastStep(), progress, averages, stopping]
    trainer = stage.carry_out(module.train(), [*callbacks, *([checkpointing] if checkpointing else [])], stopping)
    averages.apply(module)
    if (sharded := sharded_of(trainer)) is not None:
        sharded.make_whole()
    with torch.no_grad():
        for parameter, old in zip(module.parameters(), before, strict=True):
            parameter.lerp_(old.to(parameter.device), 1 - REFIT_WEIGHT)
    interrupted = stopping.was_interrupted(trainer)
    diverged = steps.has_diverged or steps.n_skipped == trainer.global_step
    if diverged and not interrupted:
        message = "the refit had no finite steps: forecasts use the weights before it"
        stage.console.print(message, style="yellow", highlight=False)
    if interrupted or diverged:
        return Refit(None, 0, clock.seconds, interrupted)
    return Refit(module.model, trainer.global_step, clock.seconds, interrupted=False)
