"""Validation sees averages of the weights, the best of them are kept, and training goes on as without them."""

from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from elinformer.training import ForecastModule
from elinformer.training.callbacks.averaging import SHORTEST

STEPS = 5
"""An epoch of the training of conftest.py."""


class Notes(pl.Callback):
    """The weight after every step of training, and at every validation."""

    def __init__(self) -> None:
        self.after_steps: list[float] = []
        self.validated: list[float] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.after_steps.append(offset_of(pl_module))

    def on_validation_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self.validated.append(offset_of(pl_module))


def offset_of(module: pl.LightningModule) -> float:
    assert isinstance(module, ForecastModule)
    weight = module.model.offset
    assert isinstance(weight, Tensor)
    return weight.item()


def by_hand(weights: list[float], epochs: float) -> list[float]:
    """The averages after every step."""
    averages = weights[:1]
    for step, weight in enumerate(weights[1:], start=2):
        decay = min(1 - 1 / max(1, epochs * STEPS), step / (SHORTEST + step))
        averages.append(decay * averages[-1] + (1 - decay) * weight)
    return averages


def watched(training: Any, offset: Any, **options: Any) -> tuple[Notes, float]:
    """What was noted, and the weight at the end."""
    run, notes = training(validation=10.0, options=options), Notes()
    module = run.module(offset(1.0))
    run.run(module, callbacks=[notes])
    return notes, offset_of(module)


@pytest.mark.parametrize("epochs", [0.1, 0.5, 1.0, 3.0])
def test_validation_sees_the_average_and_the_best_one_is_kept(training: Any, offset: Any, epochs: float) -> None:
    notes, last = watched(training, offset, averaged_epochs=epochs)
    averages = by_hand(notes.after_steps, epochs)
    assert len(averages) == 4 * STEPS
    assert sorted(set(notes.validated)) == pytest.approx(averages[STEPS - 1 :: STEPS], rel=1e-5)
    assert last == pytest.approx(averages[-1], rel=1e-5)  # every step leads to where validation errs least


def test_training_goes_on_from_the_weights_themselves(training: Any, offset: Any) -> None:
    assert watched(training, offset)[0].after_steps == watched(training, offset, averaged_epochs=0.0)[0].after_steps


def test_without_averaging_validation_sees_the_weights(training: Any, offset: Any) -> None:
    notes, last = watched(training, offset, averaged_epochs=0.0)
    assert sorted(set(notes.validated)) == notes.after_steps[STEPS - 1 :: STEPS]
    assert last == notes.after_steps[-1]


def test_steps_count_and_not_micro_batches(training: Any, offset: Any) -> None:
    whole, cut = (watched(training, offset, tokens_at_once=tokens)[1] for tokens in (50_000, 12))
    assert cut == pytest.approx(whole, rel=1e-4)


class Tied(nn.Module):
    """A parameter by two names, and a buffer whose average would be NaN."""

    hidden: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(1.0))
        self.again = self.offset
        self.register_buffer("hidden", torch.tensor([0.0, -torch.inf]))

    def forward(self, batch: Batch) -> Tensor:
        return (self.again + self.hidden.exp().sum() - 1).expand(len(batch.values), 2, *batch.values.shape[2:], 1)


def test_tied_parameters_are_swapped_back_and_buffers_are_left_alone(training: Any) -> None:
    noted = []
    for epochs in (0.0, 1.0):
        run, notes = training(validation=10.0, options={"averaged_epochs": epochs}), Notes()
        run.run(run.module(Tied()), callbacks=[notes])
        noted.append(notes.after_steps)
    assert noted[0] == noted[1]


def test_callbacks_end_a_validation_with_the_weights_it_was_of(training: Any, offset: Any) -> None:
    seen: list[float] = []

    class Keeps(pl.Callback):
        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            seen.append(offset_of(pl_module))

    run, notes = training(validation=10.0), Notes()
    run.run(run.module(offset(1.0)), callbacks=[notes, Keeps()])
    assert seen == pytest.approx(by_hand(notes.after_steps, 1.0)[STEPS - 1 :: STEPS], rel=1e-5)
