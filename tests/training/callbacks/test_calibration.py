"""Calibration chooses the sharpness of attention on the validation windows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interruptions import CallAtStep, assert_same_weights, interrupt, terminate
from offset_task import OffsetTask
from torch import Tensor, nn

from elinformer.batch import Batch
from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster
from elinformer.training import ForecastModule

NewForecaster = Callable[..., Forecaster]


class SharpnessModel(nn.Module):
    """Forecasts its sharpness times one number, whose initial value is the best for training."""

    calibrates = True

    def __init__(
        self, on_step: Callable[[], Any] = lambda: None, on_set: Callable[[float], Any] = lambda sharpness: None
    ) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(10.0))
        self.sharpness, self.calls, self.on_step, self.on_set = 1.0, [], on_step, on_set

    def set_sharpness(self, sharpness: float) -> None:
        self.sharpness = sharpness
        self.calls.append(sharpness)
        self.on_set(sharpness)

    def forward(self, batch: Batch) -> Tensor:
        if self.training:
            self.on_step()
        return (self.sharpness * self.level).expand(len(batch.values), 2, *batch.values.shape[2:], 1)


@pytest.mark.parametrize(("validation", "sharpness"), [(10.0, 1.0), (12.0, 1.0), (7.2, 0.7), (-1.0, 0.0)])
def test_the_chosen_sharpness_has_the_lowest_validation_error(validation: float, sharpness: float) -> None:
    task, model = OffsetTask(validation=validation), SharpnessModel()
    result = task.fit(model)
    assert (result.sharpness, model.sharpness) == (sharpness, sharpness)


def test_calibration_ends_at_the_first_sharpness_that_does_not_help() -> None:
    task, model = OffsetTask(validation=7.2), SharpnessModel()
    task.fit(model)
    assert model.calls == [0.9, 0.8, 0.7, 0.6, 0.7]  # 0.6 is worse; the last call sets the chosen value


def test_a_model_of_one_series_is_not_calibrated(new_forecaster: NewForecaster, hourly_panel: Panel) -> None:
    one_series = Panel.from_arrays(hourly_panel.values[:, :1], mask=hourly_panel.mask[:, :1])
    assert new_forecaster().fit(one_series).fit_result.sharpness == 1


def test_a_model_with_calibrates_false_is_not_calibrated() -> None:
    task, model = OffsetTask(validation=7.2), SharpnessModel()
    model.calibrates = False
    assert task.fit(model).sharpness == 1
    assert model.calls == []


def test_ctrl_c_during_training_prevents_calibration() -> None:
    task, model = OffsetTask(validation=7.2), SharpnessModel(interrupt)
    result = task.fit(model)
    assert (result.interrupted, result.sharpness, model.calls) == (True, 1, [1])


@pytest.mark.parametrize("at", [0.9, 0.8])
def test_ctrl_c_during_calibration_keeps_the_best_sharpness_so_far(at: float) -> None:
    model = SharpnessModel(on_set=lambda _: interrupt() if model.calls.count(at) == 1 else None)
    result = OffsetTask(validation=5.2).fit(model)
    assert (result.interrupted, result.sharpness, model.sharpness) == (True, at, at)


def test_sigterm_does_not_end_calibration() -> None:
    task, model = OffsetTask(validation=5.2), SharpnessModel(on_set=lambda g: terminate() if g == 0.8 else None)
    result = task.fit(model)
    assert (result.interrupted, result.sharpness) == (False, 0.5)


def test_calibration_runs_before_lightning_moves_the_model_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    cpu = ForecastModule.cpu
    monkeypatch.setattr(ForecastModule, "cpu", lambda self: (events.append("cpu"), cpu(self))[1])
    task, model = OffsetTask(validation=7.2), SharpnessModel(on_set=lambda g: events.append(f"{g:g}"))
    task.fit(model)
    assert events == ["0.9", "0.8", "0.7", "0.6", "cpu", "0.7"]


@pytest.fixture
def flattened(new_forecaster: NewForecaster, hourly_panel: Panel, monkeypatch: pytest.MonkeyPatch) -> Forecaster:
    """A forecaster whose sharpness is 0.4, because the validation losses are patched."""
    losses = iter([5e-9, 4e-9, 3e-9, 2e-9, 1e-9, 0.0, 1.0])
    monkeypatch.setattr("elinformer.training.callbacks.calibration._validation_loss", lambda *_: next(losses))
    return new_forecaster().fit(hourly_panel)


def sharpness_of(forecaster: Forecaster) -> set[float]:
    model: Any = forecaster.trained.model
    return {float(model.sharpness), *(block.attention.sharpness for block in model.blocks)}


def test_a_saved_run_keeps_the_sharpness(flattened: Forecaster, tmp_path: Path) -> None:
    assert sharpness_of(flattened) == {float(np.float32(0.4))}
    flattened.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    assert_same_weights(loaded, flattened)
    assert sharpness_of(loaded) == sharpness_of(flattened)


def test_forecasts_depend_on_the_sharpness(flattened: Forecaster, hourly_panel: Panel) -> None:
    before = flattened.predict()["elinformer"].to_numpy()
    model: Any = flattened.trained.model
    model.set_sharpness(1)
    assert np.abs(flattened.predict()["elinformer"].to_numpy() - before).max() > 1e-4


def test_a_run_that_ctrl_c_interrupted_is_calibrated_after_resuming(
    new_forecaster: NewForecaster,
    uninterrupted: Forecaster,
    hourly_panel: Panel,
    tmp_path: Path,
    call_at_step: CallAtStep,
) -> None:
    call_at_step(8, interrupt)
    interrupted = new_forecaster(checkpoint_minutes=2).fit(hourly_panel, run=tmp_path / "run")
    interrupted.save(tmp_path / "run")
    call_at_step(None)
    resumed = Forecaster.resume(tmp_path / "run", hourly_panel)
    assert resumed.fit_result.sharpness == uninterrupted.fit_result.sharpness
