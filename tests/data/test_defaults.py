"""Window and lags that follow from the data."""

from __future__ import annotations

import numpy as np
import pytest

from elinformer import Panel
from elinformer.data.defaults import choose_reach, is_confirmed
from elinformer.data.reach import Reach


def panel(values: np.ndarray, freq: str = "1h") -> Panel:
    return Panel.from_arrays(values, start="2024-01-01", freq=freq)


def daily(n_steps: int, *, weekly: float = 0.0, seed: int = 0) -> np.ndarray:
    """Return three series with a rhythm of the day, one of the week, and noise."""
    rng, hour = np.random.default_rng(seed), np.arange(n_steps)[:, None]
    values = np.sin(2 * np.pi * hour / 24) + weekly * (hour // 24 % 7 >= 5) + 0.3 * rng.normal(size=(n_steps, 3))
    return values * [1, 100, 1e6]


def test_a_season_that_the_data_have_is_a_lag_and_one_that_they_lack_is_none() -> None:
    assert choose_reach(panel(daily(1500)), 24, "auto", "auto", 900).reach.lags == (24, 48, 72)
    with_week = choose_reach(panel(daily(1500, weekly=1.0)), 24, "auto", "auto", 900)
    assert with_week.reach.lags == (24, 48, 72, 168, 336, 504)
    assert with_week.why == "steps of 1h: 48 in, 24 out; lags 24, 48, 72, 168, 336, 504 (season: day and week)"


@pytest.mark.parametrize("values", ["noise", "random walk"])
def test_no_season_is_found_in_noise_or_a_random_walk(values: str) -> None:
    steps = np.random.default_rng(1).normal(size=(2000, 20))
    found = choose_reach(panel(steps if values == "noise" else steps.cumsum(0)), 12, "auto", "auto", 1200)
    assert found.reach.lags == ()


def test_a_lag_may_be_shorter_than_the_horizon_but_no_longer_than_the_history() -> None:
    values = daily(1000, weekly=1.0)
    assert choose_reach(panel(values), 30, "auto", "auto", 600).reach.lags == (24, 48, 72, 168, 336)
    assert choose_reach(panel(values), 12, "auto", "auto", 200).reach.lags == (24, 48, 72)


def test_a_season_of_the_year_has_up_to_five_lags_as_far_as_the_history_reaches() -> None:
    months = np.random.default_rng(3).normal(size=(120, 4)) + 5 * np.sin(np.arange(120) * np.pi / 6)[:, None]
    assert choose_reach(panel(months, "MS"), 6, "auto", "auto", 72).reach.lags == (12, 24, 36, 48, 60)
    assert choose_reach(panel(months, "MS"), 13, "auto", "auto", 48).reach.lags == (12, 24, 36, 48)


def test_the_window_holds_two_horizons_within_a_quarter_of_training() -> None:
    values = panel(daily(1000))
    windows = [choose_reach(values, horizon, "auto", (), 600).reach.window for horizon in (1, 12, 48, 200)]
    assert windows == [12, 24, 96, 150]
    assert choose_reach(panel(daily(1000)[:20]), 4, "auto", (), 12).reach.window == 3


def test_what_is_given_is_kept() -> None:
    assert choose_reach(panel(daily(500)), 6, 7, [8, 30], 300).reach == Reach(7, 6, (8, 30))


def test_gaps_and_constant_series_do_not_hide_a_season() -> None:
    values = daily(1500)
    values[np.random.default_rng(2).random(values.shape) < 0.4] = np.nan
    values[:, 0] = 5.0
    assert is_confirmed(panel(values), 24, 12, 900)
