"""The history of a training: the losses of every epoch, whatever the micro-batches."""

from __future__ import annotations

import pytest
from offset_task import OffsetModel, OffsetTask


def test_the_history_has_the_losses_and_the_time_of_every_epoch() -> None:
    result = OffsetTask(validation=10.0, options={"epochs": 3}).fit(OffsetModel(8.0))
    assert [epoch["epoch"] for epoch in result.history] == [1, 2, 3]
    first, *_, last = result.history
    assert first["loss"] == pytest.approx(2, abs=0.5)  # the distance from 8 to 10, less what five steps win
    assert last["loss"] < first["loss"]
    best = min(result.history, key=lambda epoch: epoch["validation_loss"])
    assert best["epoch"] == result.best_epoch
    assert best["validation_mae"] == pytest.approx(best["validation_loss"])
    assert 0 <= first["seconds"] <= last["seconds"] <= result.seconds + 0.01


def test_the_training_loss_does_not_depend_on_the_micro_batches() -> None:
    losses = [
        OffsetTask(options={"epochs": 1, "tokens_at_once": tokens}).fit(OffsetModel(8.0)).history[0]["loss"]
        for tokens in (10_000, 16 * 3 // 4)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)  # the last batch of the epoch is smaller
