"""Validation says how sharp the attention of a trained model is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from power_cuts import AtStep, assert_same, interrupt, terminate
from torch import Tensor, nn

from elinformer.batch import Batch
from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster
from elinformer.training import ForecastModule

Make = Callable[..., Forecaster]


class Sharp(nn.Module):
    """Forecasts its sharpness times one number, which starts where training wants it."""

    calibrates = True

    def __init__(
        self, on_step: Callable[[], Any] = lambda: None, on_set: Callable[[float], Any] = lambda sharpness: None
    ) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(10.0))
        self.sharpness, self.tried, self.on_step, self.on_set = 1.0, [], on_step, on_set

    def set_sharpness(self, sharpness: float) -> None:
        self.sharpness = sharpness
        self.tried.append(sharpness)
        self.on_set(sharpness)

    def forward(self, batch: Batch) -> Tensor:
        if self.training:
            self.on_step()
        return (self.sharpness * self.level).expand(len(batch.values), 2, *batch.values.shape[2:], 1)


@pytest.mark.parametrize(("validation", "sharpness"), [(10.0, 1.0), (12.0, 1.0), (7.2, 0.7), (-1.0, 0.0)])
def test_the_sharpness_is_where_validation_errs_least(training: Any, validation: float, sharpness: float) -> None:
    task, model = training(validation=validation), Sharp()
    result = task.run(task.module(model))
    assert (result.sharpness, model.sharpness) == (sharpness, sharpness)


def test_it_is_flattened_as_long_as_that_helps_and_no_further(training: Any) -> None:
    task, model = training(validation=7.2), Sharp()
    task.run(task.module(model))
    assert model.tried == [0.9, 0.8, 0.7, 0.6, 0.7]  # one too far, and what is chosen


def test_a_series_alone_is_as_sharp_as_it_was_trained(make: Make, hourly_panel: Panel) -> None:
    alone = Panel.from_arrays(hourly_panel.values[:, :1], mask=hourly_panel.mask[:, :1])
    assert make().fit(alone).fit_result.sharpness == 1


def test_a_model_that_does_not_ask_for_it_stays_as_it_is(training: Any) -> None:
    task, model = training(validation=7.2), Sharp()
    model.calibrates = False
    assert task.run(task.module(model)).sharpness == 1
    assert model.tried == []


def test_nobody_waits_for_it_after_ctrl_c(training: Any) -> None:
    task, model = training(validation=7.2), Sharp(interrupt)
    result = task.run(task.module(model))
    assert (result.interrupted, result.sharpness, model.tried) == (True, 1, [1])


@pytest.mark.parametrize("at", [0.9, 0.8])
def test_ctrl_c_ends_it_with_the_best_so_far(training: Any, at: float) -> None:
    task, model = training(validation=5.2), Sharp(on_set=lambda g: interrupt() if model.tried.count(at) == 1 else None)
    result = task.run(task.module(model))
    assert (result.interrupted, result.sharpness, model.sharpness) == (True, at, at)


def test_sigterm_does_not_end_what_is_done_in_a_few_validations(training: Any) -> None:
    task, model = training(validation=5.2), Sharp(on_set=lambda g: terminate() if g == 0.8 else None)
    result = task.run(task.module(model))
    assert (result.interrupted, result.sharpness) == (False, 0.5)


def test_it_is_done_where_training_was_before_lightning_takes_the_model_off_its_device(
    training: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    cpu = ForecastModule.cpu
    monkeypatch.setattr(ForecastModule, "cpu", lambda self: (events.append("cpu"), cpu(self))[1])
    task, model = training(validation=7.2), Sharp(on_set=lambda g: events.append(f"{g:g}"))
    task.run(task.module(model))
    assert events == ["0.9", "0.8", "0.7", "0.6", "cpu", "0.7"]


@pytest.fixture
def flattened(make: Make, hourly_panel: Panel, monkeypatch: pytest.MonkeyPatch) -> Forecaster:
    """A forecaster for which validation, so we say, wanted 0.4."""
    losses = iter([5e-9, 4e-9, 3e-9, 2e-9, 1e-9, 0.0, 1.0])
    monkeypatch.setattr("elinformer.training.callbacks.calibration._validation_loss", lambda *_: next(losses))
    return make().fit(hourly_panel)


def sharpness_of(forecaster: Forecaster) -> set[float]:
    model: Any = forecaster.trained.model
    return {float(model.sharpness), *(block.attention.sharpness for block in model.blocks)}


def test_a_run_keeps_it(flattened: Forecaster, tmp_path: Path) -> None:
    assert sharpness_of(flattened) == {float(np.float32(0.4))}
    flattened.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    assert_same(loaded, flattened)
    assert sharpness_of(loaded) == sharpness_of(flattened)


def test_forecasts_depend_on_it(flattened: Forecaster, hourly_panel: Panel) -> None:
    before = flattened.predict()["elinformer"].to_numpy()
    model: Any = flattened.trained.model
    model.set_sharpness(1)
    assert np.abs(flattened.predict()["elinformer"].to_numpy() - before).max() > 1e-4


def test_ctrl_c_leaves_a_run_that_is_calibrated_once_it_is_finished(
    make: Make, hourly_panel: Panel, tmp_path: Path, at_step: AtStep
) -> None:
    at_step(8, interrupt)
    first = make(checkpoint_minutes=2).fit(hourly_panel, run=tmp_path / "run")
    first.save(tmp_path / "run")
    at_step(None)
    resumed = Forecaster.resume(tmp_path / "run", hourly_panel)
    assert resumed.fit_result.sharpness == make(checkpoint_minutes=2).fit(hourly_panel).fit_result.sharpness
