"""Averaged weights: validation uses them, the best average is kept, and training itself does not change."""

from __future__ import annotations

from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from offset_task import OffsetModel, OffsetTask
from torch import Tensor, nn

from elinformer.batch import Batch
from elinformer.training import ForecastModule
from elinformer.training.callbacks.averaging import RAMP

STEPS = 5
"""Steps of an epoch of `OffsetTask`."""


class RecordWeight(pl.Callback):
    """Records the weight after every training step, and at every validation."""

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


def expected_averages(weights: list[float], epochs: float) -> list[float]:
    """Return the averages after every step."""
    averages = weights[:1]
    for step, weight in enumerate(weights[1:], start=2):
        decay = min(1 - 1 / max(1, epochs * STEPS), step / (RAMP + step))
        averages.append(decay * averages[-1] + (1 - decay) * weight)
    return averages


def recorded_fit(**options: Any) -> tuple[RecordWeight, float]:
    """Return the recorded weights of a training, and the weight at the end."""
    task, record = OffsetTask(validation=10.0, options=options), RecordWeight()
    module = task.module(OffsetModel(1.0))
    task.fit_module(module, callbacks=[record])
    return record, offset_of(module)


@pytest.mark.parametrize("epochs", [0.1, 0.5, 1.0, 3.0])
def test_validation_uses_the_average_and_the_best_average_is_kept(epochs: float) -> None:
    record, last = recorded_fit(averaged_epochs=epochs)
    averages = expected_averages(record.after_steps, epochs)
    assert len(averages) == 4 * STEPS
    assert sorted(set(record.validated)) == pytest.approx(averages[STEPS - 1 :: STEPS], rel=1e-5)
    assert last == pytest.approx(averages[-1], rel=1e-5)  # each step lowers the validation error


def test_training_continues_from_the_unaveraged_weights() -> None:
    assert recorded_fit()[0].after_steps == recorded_fit(averaged_epochs=0.0)[0].after_steps


def test_without_averaging_validation_uses_the_weights() -> None:
    record, last = recorded_fit(averaged_epochs=0.0)
    assert sorted(set(record.validated)) == record.after_steps[STEPS - 1 :: STEPS]
    assert last == record.after_steps[-1]


def test_the_average_counts_steps_not_micro_batches() -> None:
    whole_batches, micro_batches = (recorded_fit(tokens_at_once=tokens)[1] for tokens in (50_000, 12))
    assert micro_batches == pytest.approx(whole_batches, rel=1e-4)


class Tied(nn.Module):
    """Has a parameter with two names, and a buffer whose average would be NaN."""

    hidden: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(1.0))
        self.again = self.offset
        self.register_buffer("hidden", torch.tensor([0.0, -torch.inf]))

    def forward(self, batch: Batch) -> Tensor:
        return (self.again + self.hidden.exp().sum() - 1).expand(len(batch.values), 2, *batch.values.shape[2:], 1)


def test_tied_parameters_are_restored_and_buffers_are_not_averaged() -> None:
    records = []
    for epochs in (0.0, 1.0):
        task, record = OffsetTask(validation=10.0, options={"averaged_epochs": epochs}), RecordWeight()
        task.fit(Tied(), callbacks=[record])
        records.append(record.after_steps)
    assert records[0] == records[1]


def test_callbacks_see_the_averages_at_the_end_of_validation() -> None:
    weights: list[float] = []

    class RecordAtEnd(pl.Callback):
        def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
            weights.append(offset_of(pl_module))

    task, record = OffsetTask(validation=10.0), RecordWeight()
    task.fit(OffsetModel(1.0), callbacks=[record, RecordAtEnd()])
    assert weights == pytest.approx(expected_averages(record.after_steps, 1.0)[STEPS - 1 :: STEPS], rel=1e-5)
