"""Tests of `Forecaster.backtest`: scores of groups, and forecasts beside the observed values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from elinformer.backtests import WEEKDAYS, Backtest
from elinformer.data.panel import Panel
from elinformer.errors import InputError
from elinformer.forecaster import Forecaster
from elinformer.plots import save_figure

KEYS = ("horizon", "series", "channel", "weekday", "hour")


@pytest.fixture(scope="module")
def backtest(make_forecaster: Callable[..., Forecaster], two_channel_panel: Panel) -> Backtest:
    return make_forecaster(epochs=1).fit(two_channel_panel).backtest(split=None)


@pytest.fixture(scope="module")
def errors(backtest: Backtest, two_channel_panel: Panel) -> pd.DataFrame:
    """Return a row for each observed target, with the keys of all groups and the absolute error."""
    wide = backtest.frame()
    parts = [
        wide.assign(channel=channel, error=(wide[f"y_{channel}"] - wide[f"elinformer_{channel}"].astype(float)).abs())
        for channel in two_channel_panel.channels
    ]
    frame = pd.concat(parts).dropna(subset="error").rename(columns={"unique_id": "series"})
    times = frame["ds"].dt
    horizon = (frame["ds"] - frame["cutoff"]) // pd.Timedelta("1h")
    return frame.assign(horizon=horizon, weekday=times.day_name(), hour=times.hour.astype(int))


@pytest.mark.parametrize("by", [*KEYS, ["series", "horizon"], ["weekday", "hour"], ["channel", "hour", "horizon"]])
def test_scores_of_groups_are_those_of_their_rows(by: str | list[str], backtest: Backtest, errors: pd.DataFrame):
    keys = [by] if isinstance(by, str) else by
    found = backtest.scores(by).set_index(keys)
    groups = errors.groupby(keys)["error"]
    expected = pd.DataFrame({"mae": groups.mean(), "rmse": groups.apply(lambda e: (e**2).mean() ** 0.5)})
    assert len(found) == len(expected)
    pd.testing.assert_frame_equal(found[["mae", "rmse"]].sort_index(), expected.sort_index(), rtol=1e-5)
    assert found["count"].sum() == backtest.scores().count == len(errors)


def test_groups_are_in_the_order_of_the_week_and_of_the_series(backtest: Backtest):
    assert backtest.scores("weekday")["weekday"].tolist() == list(WEEKDAYS)
    assert backtest.scores("series")["series"].tolist() == list("abcd")
    assert backtest.scores(["horizon", "channel"])["horizon"].tolist() == [1, 1, 2, 2, 3, 3]


def test_the_frame_holds_what_happened_and_the_forecast_from_the_cutoff(trained: Forecaster, hourly_panel: Panel):
    frame = trained.backtest().frame()
    assert frame.columns.tolist() == ["unique_id", "ds", "cutoff", "y", "elinformer"]
    assert len(frame) == 46 * 3 * 4
    rows = frame[(frame["unique_id"] == "b") & (frame["cutoff"] == hourly_panel.timestamps[199])]
    alone = trained.predict(hourly_panel.select(steps=slice(200))).query("unique_id == 'b'")
    assert rows["ds"].tolist() == alone["ds"].tolist()
    np.testing.assert_allclose(rows["elinformer"], alone["elinformer"], rtol=1e-5)
    np.testing.assert_array_equal(rows["y"], hourly_panel.values[200:203, 1, 0])


def test_series_and_channels_are_chosen_by_name_or_number(backtest: Backtest):
    assert backtest.scores(series=["b"], channel="speed") == backtest.scores(series=[1], channel=1)
    with pytest.raises(InputError, match=r"expected series out of a, b, c, d .*got 'x'"):
        backtest.scores(series=["x"])


@pytest.mark.parametrize("by", ["day", [], ["series", "series"], ["series", 3]])
def test_unknown_keys_are_refused(by: Any, backtest: Backtest):
    with pytest.raises(InputError, match="expected different keys out of"):
        backtest.scores(by)


def test_scores_by_time_need_times(make_forecaster: Callable[..., Forecaster], hourly_panel: Panel):
    panel = Panel.from_arrays(hourly_panel.values)
    numbered = Forecaster(6, 3, model="dlinear", training=make_forecaster(epochs=1).training).fit(panel).backtest()
    assert numbered.frame()["cutoff"].min() == 191
    assert "step 192" in repr(numbered)
    with pytest.raises(InputError, match="expected data with times"):
        numbered.scores("hour")


def test_the_repr_of_a_backtest_names_windows_and_scores(trained: Forecaster):
    text = repr(trained.backtest())
    assert "46 windows of 3 steps x 4 series, 2024-01-09T00:00 to 2024-01-10T23:00: MAE" in text


def test_the_repr_of_channels_has_no_mean_over_their_units(backtest: Backtest):
    speed, flow = (backtest.scores(channel=name).mae for name in ("speed", "flow"))
    text = repr(backtest)
    assert f"speed {speed:.4g}" in text
    assert f"flow {flow:.4g}" in text
    assert f"{backtest.scores().mae:.4g}" not in text


def test_the_verdict_of_a_backtest_is_on_its_windows(trained: Forecaster):
    backtest = trained.backtest()
    verdict = backtest.verdict()
    assert verdict.naives[verdict.best.name].scores().count == backtest.scores().count
    assert verdict.ratio.n_series == 4
    assert verdict.to_dict()["scaled"]["elinformer"]["mase"] > 0


def test_the_worst_and_the_best_series_are_drawn_beside_what_happened(trained: Forecaster, hourly_panel: Panel):
    backtest = trained.backtest()
    errors = backtest.mae_by_series()[:, 0].numpy() / np.nanstd(hourly_panel.values[192:, :, 0], axis=0)
    order = [hourly_panel.series[i] for i in np.argsort(errors)]
    for choice, names in (("best", order), ("worst", order[::-1])):
        titles = [axis.get_title(loc="left") for axis in backtest.plot(choice, n=2).axes]
        assert [title.split()[0] for title in titles] == names[:2]
    lines = backtest.plot(["b"], windows=2).axes[0].lines
    observed, *forecasts = [line for line in lines if len(line.get_xdata()) > 2]
    assert len(forecasts) == 2
    np.testing.assert_allclose(
        np.concatenate([line.get_ydata() for line in forecasts]),
        trained.forecasts(hourly_panel, np.array([234, 237]))[:, :, 1, 0].ravel(),
        rtol=1e-5,
    )
    np.testing.assert_array_equal(observed.get_ydata()[-6:], hourly_panel.values[-6:, 1, 0])


def test_the_bands_of_a_figure_are_the_intervals_of_the_forecasts(trained: Forecaster):
    backtest = trained.backtest()
    (band,) = backtest.plot(["b"], windows=1, level=80).axes[0].collections
    rows = backtest.frame(level=80).query("unique_id == 'b'").tail(3)
    heights = band.get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose(heights.max(), rows["elinformer-hi-80"].max(), rtol=1e-5)
    np.testing.assert_allclose(heights.min(), rows["elinformer-lo-80"].min(), rtol=1e-5)
    ahead = trained.plot(series=["b"], level=80).axes[0].collections[0].get_paths()[0].vertices[:, 1]
    forecast = trained.predict(level=80).query("unique_id == 'b'")
    np.testing.assert_allclose(ahead.max(), forecast["elinformer-hi-80"].max(), rtol=1e-5)
    assert len(trained.plot(series=["b"]).axes[0].collections) == 2
    assert not trained.plot(series=["b"], level=None).axes[0].collections


@pytest.mark.parametrize("series", ["middle", ["x"], [], list("abcd") * 7])
def test_series_that_cannot_be_drawn_are_refused(series: Any, trained: Forecaster):
    with pytest.raises(InputError, match="expected"):
        trained.backtest().plot(series)


def test_the_steps_after_the_end_are_drawn_behind_the_history(trained: Forecaster, tmp_path: Path):
    figure = trained.plot(series=["c", "a"], history=10)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["c", "a"]
    observed, forecast, _ = figure.axes[0].lines
    assert len(observed.get_ydata()) == 10
    expected = trained.predict().query("unique_id == 'c'")["elinformer"]
    np.testing.assert_allclose(forecast.get_ydata(), expected, rtol=1e-5)
    for name in ("a.png", "a.svg", "a.pdf"):
        save_figure(figure, tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    with pytest.raises(InputError, match=r"ends in \.png"):
        save_figure(figure, tmp_path / "a.jpeg")
