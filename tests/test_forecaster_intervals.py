"""Tests of forecasters that give intervals and scenarios."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.training import TrainingConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_levels_add_columns_around_the_same_point_forecast(trained: Forecaster) -> None:
    frame, point = trained.predict(level=[80, 95]), trained.predict()
    names = ["elinformer-lo-95", "elinformer-lo-80", "elinformer-hi-80", "elinformer-hi-95"]
    assert frame.columns.tolist() == ["unique_id", "ds", "elinformer", *names]
    np.testing.assert_allclose(frame["elinformer"], point["elinformer"], rtol=1e-6)
    assert (np.diff(frame[[*names[:2], "elinformer", *names[2:]]]) > 0).all()


def test_quantiles_are_those_of_levels(trained: Forecaster) -> None:
    levels, quantiles = trained.predict(level=80), trained.predict(quantiles=[0.1, 0.5])
    np.testing.assert_allclose(quantiles["elinformer-q-10"], levels["elinformer-lo-80"])
    np.testing.assert_allclose(quantiles["elinformer-q-50"], levels["elinformer"])


def test_intervals_of_several_channels_are_named_after_the_channel(two_channel_panel: Panel) -> None:
    forecaster = Forecaster(6, 3, model="dlinear", training=TrainingConfig(epochs=1)).fit(two_channel_panel)
    frame = forecaster.predict(level=80)
    assert [name for name in frame.columns if "-hi-" in str(name)] == ["dlinear_flow-hi-80", "dlinear_speed-hi-80"]


@pytest.mark.parametrize("loss", ["quantiles", "absolute"])
def test_intervals_of_test_steps_cover_about_as_they_say(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, loss: str
) -> None:
    report = make_forecaster(loss=loss).fit(hourly_panel).backtest().report(["y"])["intervals"]
    assert isinstance(report, dict)
    assert 0.65 < report["coverage"]["80"] < 0.95
    assert report["coverage"]["80"] < report["coverage"]["95"]


def test_a_model_with_one_output_gives_intervals_too(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel
) -> None:
    frame = make_forecaster(epochs=1, loss="absolute").fit(hourly_panel).predict(level=[80])
    assert (frame["elinformer-lo-80"] < frame["elinformer"]).all()


def test_intervals_and_scenarios_in_partitions_equal_those_of_all_series(trained: Forecaster) -> None:
    options: dict[str, Any] = {"level": [80], "scenarios": 3}
    at_once, partitions = trained.predict(**options), trained.predict(**options, series_at_once=3)
    np.testing.assert_allclose(partitions.iloc[:, 2:], at_once.iloc[:, 2:], rtol=1e-4)


def test_a_saved_forecaster_gives_the_same_intervals_and_scenarios(
    trained: Forecaster, hourly_panel: Panel, tmp_path: Path
) -> None:
    trained.save(tmp_path / "run")
    loaded = Forecaster.load(tmp_path / "run").predict(hourly_panel, level=[90], scenarios=2)
    pd.testing.assert_frame_equal(loaded, trained.predict(level=[90], scenarios=2), check_exact=True)


def test_scenarios_of_some_of_the_series_are_those_of_these_series(trained: Forecaster, hourly_panel: Panel) -> None:
    some = trained.predict(hourly_panel.select([3, 1]), scenarios=2, seed=1)
    assert some["unique_id"].unique().tolist() == ["d", "b"]
    assert some.columns.tolist()[-2:] == ["elinformer-scenario-1", "elinformer-scenario-2"]


@pytest.mark.parametrize(
    "options", [{"level": [0]}, {"scenarios": 0}, {"scenarios": 2.5}, {"scenarios": 1, "seed": -1}]
)
def test_levels_and_scenarios_that_cannot_be_used_are_refused(trained: Forecaster, options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        trained.predict(**options)


def falling_panel(level: float) -> Panel:
    """Four series that fall from `level` + 3 by 0.02 an hour, with noise; they end near `level` - 2."""
    noise = np.random.default_rng(0).normal(size=(240, 4)) * 0.1
    return Panel.from_arrays(level + 3 - 0.02 * np.arange(240)[:, None] + noise, start="2024-01-01", freq="1h")


def lowest(frame: pd.DataFrame) -> float:
    return float(frame.drop(columns=["unique_id", "ds"]).to_numpy().min())


def test_nothing_is_below_zero_where_training_never_was(make_forecaster: Callable[..., Forecaster]) -> None:
    panel = falling_panel(0.5)
    panel = Panel.from_arrays(np.maximum(panel.values, 0), start="2024-01-01", freq="1h")
    forecaster = make_forecaster(epochs=1).fit(panel)
    frame = forecaster.predict(level=[50, 99.9], scenarios=20)
    assert lowest(frame) == 0
    assert (forecaster.trained.forecasts(panel, np.arange(200, 230)) >= 0).all()
    assert (np.diff(frame[["elinformer-lo-99.9", "elinformer-lo-50", "elinformer", "elinformer-hi-50"]]) >= 0).all()


def test_a_window_below_zero_lifts_the_minimum(make_forecaster: Callable[..., Forecaster]) -> None:
    assert lowest(make_forecaster(epochs=1).fit(falling_panel(0)).predict(level=99.9)) < 0


@pytest.mark.parametrize("minimum", [-0.5, None])
def test_a_minimum_of_ones_own_or_none(minimum: float | None, narrow: dict[str, int]) -> None:
    forecaster = Forecaster(6, 3, model=narrow, minimum=minimum, training=TrainingConfig(epochs=1))
    frame = forecaster.fit(falling_panel(0)).predict(level=[99.9], scenarios=5)
    assert lowest(frame) == minimum if minimum is not None else lowest(frame) < -0.5


@pytest.mark.parametrize("minimum", [1e300, -(10**40), float("nan")])
def test_a_minimum_that_no_forecast_can_have_is_refused(minimum: float) -> None:
    with pytest.raises(InputError, match="minimum"):
        Forecaster(6, 3, minimum=minimum)


def test_the_minimum_of_some_series_in_another_order_is_their_own(
    make_forecaster: Callable[..., Forecaster], tmp_path: Path
) -> None:
    values = np.random.default_rng(0).normal(size=(240, 3)) * 0.1
    values[:, 1] = np.abs(values[:, 1])
    panel = Panel.from_arrays(values, start="2024-01-01", freq="1h", series=["a", "b", "c"])
    make_forecaster(epochs=1).fit(panel).save(tmp_path / "run")
    frame = Forecaster.load(tmp_path / "run").predict(panel.select([2, 1]), level=99, scenarios=20)
    by_series = {str(name): lowest(rows) for name, rows in frame.groupby("unique_id")}
    assert by_series["b"] >= 0 > by_series["c"]


def test_recalibration_follows_newer_errors_and_keeps_the_point_forecast(
    trained: Forecaster, hourly_panel: Panel
) -> None:
    noise = np.random.default_rng(0).normal(size=hourly_panel.values.shape) * np.nanstd(hourly_panel.values)
    rougher = Panel.from_arrays(
        hourly_panel.values + noise, mask=hourly_panel.mask, start="2024-03-01", freq="1h", series=hourly_panel.series
    )
    recalibrated = trained.recalibrate(rougher, steps=120)
    before, after = (forecaster.predict(hourly_panel, level=80) for forecaster in (trained, recalibrated))
    np.testing.assert_array_equal(before["elinformer"], after["elinformer"])
    width = [frame["elinformer-hi-80"] - frame["elinformer-lo-80"] for frame in (before, after)]
    assert (width[1] > 1.5 * width[0]).mean() > 0.9
    with pytest.raises(InputError, match="to calibrate on"):
        trained.recalibrate(rougher, steps=2)


def test_the_frame_of_a_backtest_has_intervals_that_cover_as_its_sums_say(trained: Forecaster) -> None:
    backtest = trained.backtest()
    frame = backtest.frame(level=80)
    assert frame.columns.tolist()[3:] == ["y", "elinformer", "elinformer-lo-80", "elinformer-hi-80"]
    inside = frame["y"].between(frame["elinformer-lo-80"], frame["elinformer-hi-80"])[frame["y"].notna()].mean()
    assert backtest.intervals is not None
    assert inside == pytest.approx(backtest.intervals.report()["coverage"]["80"], abs=1e-3)
