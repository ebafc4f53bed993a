"""Steps that are not finite are left out; where they persist, training ends and the best weights are kept."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from elinformer.errors import InputError
from elinformer.training import FitResult, ForecastModule
from elinformer.training.callbacks.finite import IN_A_ROW

NAN, INF = float("nan"), float("inf")


def spoiled(steps: range | set[int], number: float, *, gradient: bool = False) -> type[ForecastModule]:
    """A module whose loss, or gradient alone, is no finite number in some training steps (from 1)."""

    class Spoiled(ForecastModule):
        step = 0

        def training_step(self, batch: Any, _: int) -> Tensor:
            self.step += 1
            loss = super().training_step(batch, _)
            if self.step not in steps:
                return loss
            if gradient:
                loss.register_hook(lambda grad: grad * number)
                return loss
            return loss + number  # of which the gradient is finite

    return Spoiled


def weights_by_step(run: Any, offset: Any, kind: type[ForecastModule], **options: Any) -> tuple[list[float], FitResult]:
    """The one weight before every training step, and how training ended."""
    weights: list[float] = []
    model = offset(1.0, lambda _: weights.append(model.offset.item()))
    return weights, run.run(run.module(model, kind), **options)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("number", [NAN, INF, -INF])
def test_a_step_that_is_not_finite_is_left_out_and_counted(
    number: float, gradient: bool, training: Any, offset: Any
) -> None:
    run = training(validation=10.0)
    weights, result = weights_by_step(run, offset, spoiled({3, 4, 9}, number, gradient=gradient))
    assert (result.skipped_steps, result.diverged, result.epochs) == (3, False, 4)
    unchanged = [step for step in range(1, len(weights)) if weights[step] == weights[step - 1]]
    assert unchanged == [3, 4, 9]


def test_a_micro_batch_that_is_not_finite_spoils_its_step_alone(training: Any, offset: Any) -> None:
    run = training(validation=10.0, options={"batch_size": 16, "tokens_at_once": 24})  # two micro-batches of 8
    weights, result = weights_by_step(run, offset, spoiled({3}, NAN))
    assert result.skipped_steps == 1
    assert weights[2] == weights[4] != weights[6]


def test_a_training_without_such_steps_skips_none(training: Any, offset: Any) -> None:
    result = weights_by_step(training(validation=10.0), offset, ForecastModule)[1]
    assert (result.skipped_steps, result.diverged) == (0, False)


def test_training_ends_where_they_persist_and_keeps_the_best_weights_so_far(training: Any, offset: Any) -> None:
    screen = io.StringIO()
    run = training(validation=10.0, options={"epochs": 50, "averaged_epochs": 0.0})  # averages would go on to change
    steps = range(13, 1000)  # 5 steps an epoch: from the middle of the third one
    weights, result = weights_by_step(run, offset, spoiled(steps, NAN), console=Console(file=screen, width=200))
    assert (result.skipped_steps, result.diverged, result.interrupted) == (IN_A_ROW, True, False)
    assert result.best_epoch == 3
    assert len(weights) == 12 + IN_A_ROW
    assert screen.getvalue() == (
        "training ended early: loss or gradient were not finite in 20 steps in a row; the best weights so far, of "
        "epoch 3, are kept\n"
    )


def test_steps_that_are_not_in_a_row_do_not_end_training(training: Any, offset: Any) -> None:
    run = training(validation=10.0, options={"epochs": 12})
    result = weights_by_step(run, offset, spoiled(set(range(1, 100)) - {19, 38, 57}, NAN))[1]
    assert (result.skipped_steps, result.diverged) == (57, False)


@pytest.mark.parametrize("epochs", [1, 50])
def test_training_without_a_single_finite_step_is_refused(epochs: int, training: Any, offset: Any) -> None:
    run = training(validation=10.0, options={"epochs": epochs})
    with pytest.raises(InputError, match=r"but loss or gradient were finite in no step: lower learning_rate \(now"):
        weights_by_step(run, offset, spoiled(range(1, 1000), NAN))


@pytest.mark.parametrize(("batch_size", "tokens_at_once"), [(32, 1000), (32, 24), (40, 50), (75, 24), (75, 1000)])
def test_the_last_step_of_an_epoch_counts_in_full_however_few_micro_batches_it_has(
    batch_size: int, tokens_at_once: int, training: Any, offset: Any
) -> None:
    gradients: list[float] = []

    class Watched(ForecastModule):
        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            gradients.extend(p.grad.item() for p in self.parameters() if p.grad is not None)

    run = training(options={"epochs": 2, "batch_size": batch_size, "tokens_at_once": tokens_at_once})
    run.run(
        run.module(offset(1.0), Watched)
    )  # 75 windows of 10 all over: the gradient is -1 as long as 1.0 stays below
    assert gradients == pytest.approx([-1] * (2 * -(-75 // batch_size)))
