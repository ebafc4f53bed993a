"""Tests of a forecaster that lives with its data: update, finetune, and horizons longer than that of training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from elinformer.data.appending import append
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.training import TrainingConfig


@pytest.fixture(scope="module")
def early(hourly_panel: Panel) -> Forecaster:
    """Return a forecaster of the first 200 hours."""
    training = TrainingConfig(epochs=3, learning_rate=2e-2)
    return Forecaster(6, 3, model="dlinear", training=training).fit(hourly_panel.select(steps=slice(200)))


def changed(panel: Panel, steps: slice, factor: float) -> Panel:
    values = panel.values.copy()
    values[steps] *= factor
    return replace(panel, values=values)


def test_new_rows_are_forecast_from_without_training(early: Forecaster, hourly_panel: Panel):
    for start in (200, 190):  # rows that follow, and rows that overlap
        updated = early.update(hourly_panel.select(steps=slice(start, None)))
        pd.testing.assert_frame_equal(updated.predict(), early.predict(hourly_panel))
    assert early.predict()["ds"].min() == hourly_panel.timestamps[200]  # this one did not change


def test_new_rows_may_be_a_frame_of_some_series_in_any_order(hourly_panel: Panel):
    hourly_panel = replace(hourly_panel, channels=("value",))  # as a frame has it
    early = Forecaster(6, 3, model="dlinear", training=TrainingConfig(epochs=1)).fit(
        hourly_panel.select(steps=slice(200))
    )
    rows = hourly_panel.select([2, 0], steps=slice(205, 215))
    wide = pd.DataFrame(rows.values[..., 0], columns=list(rows.series), index=pd.DatetimeIndex(rows.timestamps))
    updated = early.update(wide)
    forecast = updated.predict()
    assert forecast["ds"].min() == hourly_panel.timestamps[215]
    assert forecast["unique_id"].unique().tolist() == list("abcd")
    values = hourly_panel.values[:215].copy()
    values[200:205], values[205:, [1, 3]] = np.nan, np.nan
    known = replace(hourly_panel.select(steps=slice(215)), values=values, mask=~np.isnan(values))
    pd.testing.assert_frame_equal(forecast, early.predict(known))


def test_values_that_were_missing_are_filled_in_and_others_are_checked(hourly_panel: Panel):
    old, new = hourly_panel.select(steps=slice(100)), hourly_panel.select(steps=slice(90, 120))
    values = np.where(np.arange(100)[:, None, None] > 93, np.float32(np.nan), old.values)
    gaps = replace(old, values=values, mask=~np.isnan(values))
    np.testing.assert_array_equal(append(gaps, new).values, hourly_panel.values[:120])
    with pytest.raises(InputError, match="values differ"):
        append(old, changed(new, slice(3, 4), 2.0))
    revised = append(old, changed(new, slice(3, 4), 2.0), revise=True)
    np.testing.assert_array_equal(revised.values[93], 2 * hourly_panel.values[93])
    np.testing.assert_array_equal(append(hourly_panel, new).values, hourly_panel.values)


@pytest.mark.parametrize(
    ("start", "message"), [("2023-12-31", "expected new rows from 2024-01-01"), ("2024-01-11 00:30", "on the steps of")]
)
def test_rows_that_begin_earlier_or_lie_between_steps_are_refused(start: str, message: str, hourly_panel: Panel):
    rows = Panel.from_arrays(np.ones((5, 4)), start=start, freq="1h", series=list("abcd"), channels=["flow"])
    with pytest.raises(InputError, match=message):
        append(hourly_panel, rows)


def test_a_loaded_forecaster_takes_its_history_from_the_first_rows(
    early: Forecaster, hourly_panel: Panel, tmp_path: Path
):
    early.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run")
    with pytest.raises(InputError, match="expected at least 6 steps"):
        loaded.update(hourly_panel.select(steps=slice(195, 200)))
    updated = loaded.update(hourly_panel.select(steps=slice(190, 200))).update(
        hourly_panel.select(steps=slice(200, 240))
    )
    pd.testing.assert_frame_equal(updated.predict(), early.predict(hourly_panel))


def test_a_longer_horizon_is_refused_or_forecast_from_forecasts(early: Forecaster, hourly_panel: Panel):
    with pytest.raises(InputError, match=r"at most 3 steps.*horizon=7.*recursive=True"):
        early.predict(horizon=7)
    long = early.predict(horizon=7, recursive=True)
    by_step = long["elinformer" if "elinformer" in long else "dlinear"].to_numpy().reshape(4, 7)
    panel = early.update(hourly_panel.select(steps=slice(199, 200))).predict()
    np.testing.assert_allclose(by_step[:, :3], panel["dlinear"].to_numpy().reshape(4, 3), rtol=1e-6)
    rows = Panel.from_arrays(
        by_step[:, :3].T, start=hourly_panel.timestamps[200], freq="1h", series=list("abcd"), channels=["flow"]
    )
    then = early.update(rows).predict()["dlinear"].to_numpy().reshape(4, 3)
    np.testing.assert_allclose(by_step[:, 3:6], then, rtol=1e-5)
    short = early.predict(horizon=2)["dlinear"].to_numpy().reshape(4, 2)
    np.testing.assert_allclose(short, by_step[:, :2], rtol=1e-6)


def test_the_error_of_a_longer_horizon_is_measured(early: Forecaster):
    with pytest.raises(InputError, match="recursive=True"):
        early.backtest(horizon=5)
    backtest = early.backtest(horizon=5, recursive=True)
    frame = backtest.frame()
    assert backtest.scores("horizon")["horizon"].tolist() == [1, 2, 3, 4, 5]
    assert frame["ds"].max() == early.predict()["ds"].min() - pd.Timedelta("1h")
    assert backtest.scores().mae == pytest.approx((frame["y"] - frame["dlinear"]).abs().mean(), rel=1e-5)
    own = early.backtest(horizon=2)
    assert own.scores(step=1).mae == pytest.approx(early.backtest().scores(step=1).mae, rel=0.2)


def test_finetuning_learns_new_rows_and_keeps_the_old_ones(early: Forecaster, hourly_panel: Panel):
    before = {name: weight.clone() for name, weight in early.trained.model.state_dict().items()}
    rows = changed(hourly_panel, slice(None), 1.5).select(steps=slice(200, None))
    tuned = early.finetune(rows, steps=60)
    report = tuned.finetuning
    assert report is not None
    assert report.new_after < report.new_before
    assert report.old_after < 1.1 * report.old_before
    assert 0 < report.share <= 1
    assert tuned.predict()["ds"].min() > hourly_panel.timestamps[-1]
    assert all(bool((before[name] == weight).all()) for name, weight in early.trained.model.state_dict().items())
    assert early.finetuning is None
    with pytest.raises(InputError, match=r"expected rows after 2024-01-10T23.* fine-tuning has learned from all rows"):
        tuned.backtest()
    later = changed(hourly_panel, slice(None), 1.5)
    later = replace(later, timestamps=later.timestamps + np.timedelta64(240, "h"))
    assert len(tuned.backtest(later).scores("series")) == 4


def test_rows_that_update_has_appended_are_new_to_finetuning(early: Forecaster, hourly_panel: Panel):
    rows = changed(hourly_panel, slice(None), 1.5).select(steps=slice(200, None))
    at_once, after = early.finetune(rows, steps=4), early.update(rows).finetune(rows, steps=4)
    assert after.finetuning == at_once.finetuning
    pd.testing.assert_frame_equal(after.predict(), at_once.predict())


def test_finetuning_takes_new_series_along(make_forecaster: Callable[..., Forecaster], hourly_panel: Panel):
    old = hourly_panel.select([0, 1, 2], steps=slice(160))
    tuned = make_forecaster(epochs=1).fit(old).finetune(hourly_panel.select(steps=slice(160, None)), steps=4)
    assert tuned.info.series == ("a", "b", "c", "d")
    assert np.isfinite(tuned.predict()["elinformer"]).all()


def test_too_few_new_rows_are_refused(early: Forecaster, hourly_panel: Panel):
    with pytest.raises(InputError, match="at least 6 new steps"):
        early.finetune(hourly_panel.select(steps=slice(200, 204)))
