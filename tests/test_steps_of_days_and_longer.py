"""Data by the day, week, month, quarter and year: a frame goes in, and forecasts carry on at the right times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from elinformer import Forecaster

if TYPE_CHECKING:
    from pathlib import Path

STEPS = [
    # step, start, number of steps, lags that follow, time stamps of the forecast
    ("D", "2022-01-01", 700, {7, 14, 21}, ["2023-12-02", "2023-12-03"]),
    ("B", "2022-01-03", 500, {5, 10, 15}, ["2023-12-04", "2023-12-05"]),
    ("W-WED", "2018-01-03", 220, {52, 104}, ["2022-03-23", "2022-03-30"]),
    ("MS", "2010-01-01", 130, {12, 24, 36, 48, 60}, ["2020-11-01", "2020-12-01"]),
    ("ME", "2010-01-31", 130, {12, 24, 36, 48, 60}, ["2020-11-30", "2020-12-31"]),
    ("QS", "2000-01-01", 70, {4, 8, 12, 16, 20}, ["2017-07-01", "2017-10-01"]),
    ("QE", "2000-03-31", 70, {4, 8, 12, 16, 20}, ["2017-09-30", "2017-12-31"]),
    ("YS", "1960-01-01", 50, set(), ["2010-01-01", "2011-01-01"]),
]


def seasonal_frame(freq: str, start: str, n_steps: int) -> pd.DataFrame:
    """Return a long frame of two series with a rhythm of the week or the year, and noise."""
    times = pd.date_range(start, periods=n_steps, freq=freq)
    phase = times.day_of_week / 7 if freq in {"D", "B"} else times.day_of_year / 365
    rng = np.random.default_rng(0)
    values = {name: 10 * np.sin(2 * np.pi * phase) + rng.normal(size=n_steps) for name in ("north", "south")}
    return pd.concat([pd.DataFrame({"unique_id": name, "ds": times, "y": y}) for name, y in values.items()])


@pytest.mark.parametrize(("freq", "start", "n_steps", "lags", "ahead"), STEPS)
def test_forecasts_carry_on_at_the_step_of_the_data(  # noqa: PLR0917
    freq: str, start: str, n_steps: int, lags: set[int], ahead: list[str], narrow: dict[str, Any], tmp_path: Path
) -> None:
    frame = seasonal_frame(freq, start, n_steps)
    forecaster = Forecaster(horizon=2, model=narrow, training={"epochs": 1, "refit": False}).fit(frame)
    assert set(forecaster.reach.lags) == lags
    forecast = forecaster.predict(level=[80])
    assert list(forecast["unique_id"]) == ["north", "north", "south", "south"]
    assert list(forecast["ds"]) == [pd.Timestamp(time) for time in ahead] * 2
    assert (forecast["elinformer-lo-80"] <= forecast["elinformer-hi-80"]).all()
    forecaster.save(tmp_path / "run")
    pd.testing.assert_frame_equal(Forecaster.load(tmp_path / "run").predict(frame, level=[80]), forecast)
