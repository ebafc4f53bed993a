"""Steps that are not finite are skipped; many in a row end training; the last step of an epoch is rescaled."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from offset_task import OffsetModel, OffsetTask
from rich.console import Console
from torch import Tensor

from elinformer.errors import InputError
from elinformer.training import FitResult, ForecastModule
from elinformer.training.callbacks.gradients import MAX_SKIPPED_IN_A_ROW

NAN, INF = float("nan"), float("inf")


def failing_module(steps: range | set[int], number: float, *, gradient: bool = False) -> type[ForecastModule]:
    """Return a module whose loss, or gradient alone, is not finite in some training steps (from 1)."""

    class FailingModule(ForecastModule):
        step = 0

        def training_step(self, batch: Any, _: int) -> Tensor:
            self.step += 1
            loss = super().training_step(batch, _)
            if self.step not in steps:
                return loss
            if gradient:
                loss.register_hook(lambda grad: grad * number)
                return loss
            return loss + number  # its gradient is finite

    return FailingModule


def weights_by_step(
    task: OffsetTask, module_class: type[ForecastModule], **options: Any
) -> tuple[list[float], FitResult]:
    """Return the weight before every training step, and the result of training."""
    weights: list[float] = []
    model = OffsetModel(1.0, lambda _: weights.append(model.offset.item()))
    return weights, task.fit(model, module_class, **options)


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("number", [NAN, INF, -INF])
def test_a_step_that_is_not_finite_is_skipped_and_counted(number: float, gradient: bool) -> None:
    task = OffsetTask(validation=10.0)
    weights, result = weights_by_step(task, failing_module({3, 4, 9}, number, gradient=gradient))
    assert (result.skipped_steps, result.diverged, result.epochs) == (3, False, 4)
    unchanged = [step for step in range(1, len(weights)) if weights[step] == weights[step - 1]]
    assert unchanged == [3, 4, 9]


def test_a_micro_batch_that_is_not_finite_skips_its_step_only() -> None:
    task = OffsetTask(validation=10.0, options={"batch_size": 16, "tokens_at_once": 24})  # two micro-batches of 8
    weights, result = weights_by_step(task, failing_module({3}, NAN))
    assert result.skipped_steps == 1
    assert weights[2] == weights[4] != weights[6]


def test_finite_steps_are_not_skipped() -> None:
    result = weights_by_step(OffsetTask(validation=10.0), ForecastModule)[1]
    assert (result.skipped_steps, result.diverged) == (0, False)


def test_many_non_finite_steps_in_a_row_end_training_with_the_best_weights() -> None:
    screen = io.StringIO()
    task = OffsetTask(validation=10.0, options={"epochs": 50, "averaged_epochs": 0.0})
    steps = range(13, 1000)  # 5 steps an epoch: from the middle of the third one
    weights, result = weights_by_step(task, failing_module(steps, NAN), console=Console(file=screen, width=200))
    assert (result.skipped_steps, result.diverged, result.interrupted) == (MAX_SKIPPED_IN_A_ROW, True, False)
    assert result.best_epoch == 3
    assert len(weights) == 12 + MAX_SKIPPED_IN_A_ROW
    assert "20 steps in a row" in screen.getvalue()
    assert "epoch 3" in screen.getvalue()
    assert screen.getvalue().count("\n") == 1


def test_many_non_finite_steps_that_are_not_in_a_row_do_not_end_training() -> None:
    task = OffsetTask(validation=10.0, options={"epochs": 12})
    result = weights_by_step(task, failing_module(set(range(1, 100)) - {19, 38, 57}, NAN))[1]
    assert (result.skipped_steps, result.diverged) == (57, False)


@pytest.mark.parametrize("epochs", [1, 50])
def test_training_without_a_finite_step_raises_an_error(epochs: int) -> None:
    task = OffsetTask(validation=10.0, options={"epochs": epochs})
    with pytest.raises(InputError, match=r"finite in no step: lower learning_rate"):
        weights_by_step(task, failing_module(range(1, 1000), NAN))


@pytest.mark.parametrize(("batch_size", "tokens_at_once"), [(32, 1000), (32, 24), (40, 50), (75, 24), (75, 1000)])
def test_the_gradient_of_the_last_step_of_an_epoch_does_not_depend_on_its_number_of_micro_batches(
    batch_size: int, tokens_at_once: int
) -> None:
    gradients: list[float] = []

    class RecordGradient(ForecastModule):
        def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
            gradients.extend(p.grad.item() for p in self.parameters() if p.grad is not None)

    task = OffsetTask(options={"epochs": 2, "batch_size": batch_size, "tokens_at_once": tokens_at_once})
    task.fit(OffsetModel(1.0), RecordGradient)  # all 75 windows hold 10, and the model stays below: the gradient is -1
    assert gradients == pytest.approx([-1] * (2 * -(-75 // batch_size)))
