"""After validation has chosen, the weights of forecasts are trained further on all data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from interruptions import CallAtStep, CrashError, assert_same_weights, checkpoint_names, crash, interrupt

from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster

STEPS = 15
"""Steps of `new_forecaster` before the refit."""


@pytest.fixture(scope="module")
def refitted(new_forecaster: Callable[..., Forecaster], hourly_panel: Panel) -> Forecaster:
    return new_forecaster(refit=True).fit(hourly_panel)


def predictions(forecaster: Forecaster) -> np.ndarray:
    return forecaster.predict()["elinformer"].to_numpy()


def assert_same_refit(forecaster: Forecaster, other: Forecaster) -> None:
    assert_same_weights(forecaster, other)
    weights, others = (each.trained.latest.model.state_dict() for each in (forecaster, other))
    assert all(weight.equal(others[name]) for name, weight in weights.items())


def test_scores_are_the_same_with_and_without_a_refit_and_forecasts_are_not(
    refitted: Forecaster, uninterrupted: Forecaster
) -> None:
    assert_same_weights(refitted, uninterrupted)
    assert refitted.backtest().scores() == uninterrupted.backtest().scores()
    assert not np.array_equal(predictions(refitted), predictions(uninterrupted))
    steps = refitted.fit_result.best_epoch * 5
    assert steps <= refitted.fit_result.refit_steps <= 1.1 * steps
    assert uninterrupted.fit_result.refit_steps == 0


def test_a_run_keeps_the_weights_of_scores_and_those_of_forecasts(refitted: Forecaster, tmp_path: Path) -> None:
    refitted.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    assert loaded.trained.weights == {"scores": "model.safetensors", "forecasts": "refit.safetensors"}
    assert_same_refit(loaded, refitted)
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again" / "refit.safetensors").is_file()


def test_a_refit_that_crashes_resumes_with_its_newest_step(
    refitted: Forecaster,
    new_forecaster: Callable[..., Forecaster],
    hourly_panel: Panel,
    tmp_path: Path,
    call_at_step: CallAtStep,
) -> None:
    run = tmp_path / "run"
    call_at_step(STEPS + 2, crash)
    with pytest.raises(CrashError):
        new_forecaster(refit=True).fit(hourly_panel, run=run)
    assert checkpoint_names(run) == ["refit-00000001.safetensors", "step-end.safetensors"]
    with pytest.raises(InputError, match="at step 1 of 16 of the refit"):
        Forecaster.load(run)
    n_left = refitted.fit_result.refit_steps - 1
    call_at_step(n_left + 1, crash)  # no step before the refit is repeated
    resumed = Forecaster.resume(run, hourly_panel)
    assert_same_refit(resumed, refitted)
    assert resumed.fit_result.best_epoch == refitted.fit_result.best_epoch


def test_ctrl_c_in_the_refit_keeps_the_weights_of_the_scores_and_the_run_can_be_resumed(
    refitted: Forecaster,
    new_forecaster: Callable[..., Forecaster],
    hourly_panel: Panel,
    tmp_path: Path,
    call_at_step: CallAtStep,
) -> None:
    run = tmp_path / "run"
    call_at_step(STEPS + 2, interrupt)
    forecaster = new_forecaster(refit=True).fit(hourly_panel, run=run)
    assert forecaster.fit_result.interrupted
    assert forecaster.trained.refitted is None
    forecaster.save(run)
    assert_same_weights(Forecaster.load(run), refitted)
    call_at_step(None)
    assert_same_refit(Forecaster.resume(run, hourly_panel), refitted)


def test_new_series_leave_the_forecasts_of_the_refit_as_they_are(
    new_forecaster: Callable[..., Forecaster], hourly_panel: Panel
) -> None:
    known = hourly_panel.select([0, 1, 2])
    forecaster = new_forecaster(refit=True, epochs=1, series_at_once=0).fit(known)
    extended = forecaster.add_series(hourly_panel, steps=2)
    assert extended.trained.refitted is not None
    before, after = forecaster.predict(), extended.predict(hourly_panel)
    shared = after[after["unique_id"].isin(known.series)]
    assert len(shared) == len(before)


def test_finetuning_measures_the_intervals_anew(uninterrupted: Forecaster, hourly_panel: Panel) -> None:
    rng = np.random.default_rng(1)
    newest = np.nan_to_num(hourly_panel.values[-60:])
    noisy = newest + 5 * np.nanstd(hourly_panel.values, 0) * rng.normal(size=newest.shape)
    times = np.datetime64("2024-01-11") + np.arange(60) * np.timedelta64(1, "h")
    rows = Panel.from_arrays(noisy, start=str(times[0]), freq="1h", series=hourly_panel.series, name="rows")
    widths = []
    for forecaster in (uninterrupted.update(rows), uninterrupted.finetune(rows, steps=1)):
        frame = forecaster.predict(level=80)
        widths.append(float((frame["elinformer-hi-80"] - frame["elinformer-lo-80"]).mean()))
    assert widths[1] > 1.2 * widths[0]
