"""Steps of a training that has a time limit: a few steps are timed, and the schedule is fitted to the time."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from pytorch_lightning.utilities.seed import isolate_rng

from elinformer.data.windows import window_loader
from elinformer.errors import InputError
from elinformer.training.callbacks.pace import Stopwatch
from elinformer.training.callbacks.signals import StopOnSignal
from elinformer.training.config import VALIDATIONS, Budget
from elinformer.training.stage import Stage

if TYPE_CHECKING:
    from elinformer.data.windows import WindowDataset
    from elinformer.training.module import ForecastModule

TIMED_STEPS = 8
MOST_SHARE = 0.05
"""Share of the time after which no further step is timed."""
USED_SHARE = 0.85
"""Share of the time that is planned; the rest is for steps that take longer than the timed ones."""
VALIDATION_SHARE = 0.25
"""Largest share of the planned time that validations take, if there are more than `FEWEST_VALIDATIONS`."""
FEWEST_VALIDATIONS, FEWEST_STEPS = 4, 20
AFTER_TRAINING = 6
"""Time after training, in validations: sharpness, blend and intervals."""


class Pace(NamedTuple):
    """Seconds of a step, and of a validation."""

    step: float
    validation: float


def within_time(
    module: ForecastModule, train: WindowDataset, validation: WindowDataset, budget: Budget, **options: Any
) -> Budget:
    """Return a budget that ends within the time limit of the options of training; the same if there is none.

    The module and the random numbers do not change.

    Args:
        module: Module that will be trained.
        train: Training windows.
        validation: Validation windows.
        budget: Steps without a time limit.
        options: `tokens_per_window`, `console`, `machines` of `elinformer.training.fit.fit`.

    Raises:
        InputError: The limit is too small.
    """
    seconds = module.config.seconds_allowed
    if seconds is None:
        return budget
    began, budget = time.monotonic(), budget._replace(batch_size=min(budget.batch_size, len(train)))
    with isolate_rng():
        stage = Stage.of(
            replace(module.config, logger=None),
            Budget(budget.batch_size, 1, TIMED_STEPS, TIMED_STEPS, 0),
            train,
            **options,
        )
        pace = _timed(copy.deepcopy(module), stage, budget.checked(validation), MOST_SHARE * seconds)
    found = fitted(budget, pace, seconds, seconds - (time.monotonic() - began), refit=module.config.refit)
    stage.console.print(
        f"time limit of {seconds:g} s: at most {found.epochs * found.epoch_steps} steps of {pace.step:.2g} s, "
        f"{found.epochs} validations of {pace.validation:.2g} s",
        highlight=False,
        soft_wrap=True,
    )
    return found


def fitted(budget: Budget, pace: Pace, limit: float, left: float, *, refit: bool) -> Budget:
    """Return as many steps of `budget` as end within `left` seconds of the time limit.

    Raises:
        InputError: These are too few to train anything.
    """
    planned, after = USED_SHARE * left, AFTER_TRAINING * pace.validation
    step = pace.step * (1 + budget.refit_share * refit)
    affordable = int(VALIDATION_SHARE * (planned - after) / max(pace.validation, 1e-9))
    validations = min(VALIDATIONS, budget.epochs, max(FEWEST_VALIDATIONS, affordable))
    steps = int((planned - after - validations * pace.validation) / step)
    planned_steps = budget.epochs * budget.epoch_steps
    if steps >= planned_steps and validations == budget.epochs:
        return budget._replace(seconds=left - after - budget.refit_share * refit * planned_steps * pace.step)
    steps = min(steps, planned_steps)
    if steps < min(FEWEST_STEPS, planned_steps):
        needed = (FEWEST_STEPS * step + FEWEST_VALIDATIONS * pace.validation + after) / USED_SHARE + limit - left
        raise InputError(
            f"expected a time limit of at least {math.ceil(needed)} s for these data on this machine, got {limit:g} s: "
            "raise it, or choose a smaller model"
        )
    part = max(1, steps // validations)
    patience = -(-validations // 3) if budget.patience else 0
    averaged = min(part, budget.averaged_steps)
    deadline = left - after - budget.refit_share * refit * steps * pace.step
    return Budget(budget.batch_size, validations, averaged, part, patience, deadline, budget.refit_share)


def refit_steps_within(budget: Budget, best_epoch: int, limit: float | None, *, used: float, used_epochs: int) -> int:
    """Return the steps of a refit, at least one.

    Args:
        budget: Steps of the training before.
        best_epoch: Epochs that led to the chosen weights.
        limit: Seconds of training and refit; None = no limit.
        used: Seconds that the training before has taken.
        used_epochs: Epochs that it has had.
    """
    steps = max(1, round(budget.refit_share * best_epoch * budget.epoch_steps))
    if limit is None:
        return steps
    pace = used / (used_epochs * budget.epoch_steps)  # with validations, so that it is high
    return max(1, min(steps, int((limit - used) / pace)))


def _timed(module: ForecastModule, stage: Stage, validation: WindowDataset, most: float) -> Pace:
    """Train for a few steps, validate on a few windows, and return the times."""
    size = 2 * -(-stage.budget.batch_size // stage.batches.micro_batches)
    few = validation.first(size)
    watch, stopping = Stopwatch(most), StopOnSignal(None, stage.console)
    trainer = stage.carry_out(module, [watch, stopping], stopping, window_loader(few, size))
    if stopping.was_interrupted(trainer):
        raise KeyboardInterrupt
    times = torch.tensor([watch.step, watch.validation * len(validation) / len(few)], dtype=torch.float64)
    step, whole = (module.mesh.across_all.sum(times) / module.mesh.n_ranks).tolist()
    return Pace(step, whole)
