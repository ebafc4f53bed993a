"""Tests of naive forecasts against a slow implementation of their definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import mean_before

from elinformer.data.panel import Panel
from elinformer.evaluation import MetricSums, Naive, naives_for, score_naive, score_naives
from elinformer.evaluation.naive import LAST_VALUE


def slow_forecast(
    panel: Panel, origin: int, horizon: int, period: int, train_end: int, *, is_mean: bool = False
) -> np.ndarray:
    """Return the forecast (S, N, C), computed one number at a time."""
    out = np.empty((horizon, panel.n_series, panel.n_channels), np.float32)
    for step, series, channel in np.ndindex(out.shape):
        sources = [t for t in range(origin) if (origin + step - t) % period == 0 and panel.mask[t, series, channel]]
        if is_mean and sources:
            out[step, series, channel] = panel.values[sources, series, channel].astype(np.float64).mean()
            continue
        source = origin + step
        while source >= origin:
            source -= period
        while source >= 0 and not panel.mask[source, series, channel]:
            source -= period
        observed = panel.mask[:train_end, series, channel]
        values = panel.values[:train_end, series, channel][observed].astype(np.float64)
        mean = values.mean() if len(values) else 0.0
        out[step, series, channel] = panel.values[source, series, channel] if source >= 0 else mean
    return out


def slow_sums(
    panel: Panel, origins: np.ndarray, horizon: int, period: int, train_end: int, *, is_mean: bool = False
) -> MetricSums:
    sums = MetricSums(horizon, panel.n_series, panel.n_channels)
    for origin in origins:
        forecast = slow_forecast(panel, origin, horizon, period, train_end, is_mean=is_mean)
        future = slice(origin, origin + horizon)
        sums.update(*(torch.from_numpy(x)[None] for x in (forecast, panel.values[future], panel.mask[future])))
    return sums


def assert_same(sums: MetricSums, expected: MetricSums) -> None:
    for name in ("absolute", "squared", "relative", "count", "count_nonzero"):
        torch.testing.assert_close(getattr(sums, name), getattr(expected, name), rtol=1e-5, atol=1e-6)


@given(
    n_steps=st.integers(12, 40),
    horizon=st.integers(1, 6),
    period=st.integers(1, 45),
    observed=st.sampled_from([0.2, 0.8, 1.0]),
    is_mean=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_a_naive_forecast_is_the_last_observed_value_of_its_season_or_the_mean_of_all(
    n_steps: int, horizon: int, period: int, observed: float, *, is_mean: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((n_steps, 2, 2)) < observed
    mask[0, 0, 0] = True
    mask[:, 1, 1] = False
    panel = Panel.from_arrays(rng.normal(10, 3, mask.shape), mask=mask)
    origins = np.arange(1, n_steps - horizon + 1)
    train_end = n_steps // 2
    naive = Naive("season", period, is_mean)
    sums = score_naive(naive, panel, origins, horizon, mean_before(panel, train_end))
    assert_same(sums, slow_sums(panel, origins, horizon, period, train_end, is_mean=is_mean))


def test_naive_forecasts_that_are_scored_together_have_the_errors_of_each(hourly_panel: Panel) -> None:
    origins, mean = np.arange(150, 230), mean_before(hourly_panel, 100)
    naives = naives_for(hourly_panel, 100)
    together = score_naives(naives, hourly_panel, origins, 3, mean)
    assert list(together) == ["last value", "same time yesterday", "mean by time of day"]
    for naive in naives:
        assert_same(together[naive.name], score_naive(naive, hourly_panel, origins, 3, mean))


def test_the_batch_size_does_not_change_naive_scores(monkeypatch: pytest.MonkeyPatch, hourly_panel: Panel) -> None:
    origins = np.arange(150, 230)
    expected = score_naive(LAST_VALUE, hourly_panel, origins, 3, mean_before(hourly_panel, 100))
    monkeypatch.setattr("elinformer.evaluation.naive.MAX_BATCH_SIZE", 7)
    assert_same(score_naive(LAST_VALUE, hourly_panel, origins, 3, mean_before(hourly_panel, 100)), expected)


@pytest.mark.parametrize("is_mean", [False, True])
@pytest.mark.parametrize("period", [1, 5, 24, 400])
def test_a_naive_forecast_does_not_use_steps_from_its_origin_on(
    period: int, is_mean: bool, hourly_panel: Panel
) -> None:
    origin, horizon = 180, 10
    rng = np.random.default_rng(0)
    poisoned = hourly_panel.values.copy()
    poisoned[origin:] = rng.normal(1e5, 1, poisoned[origin:].shape)
    other = replace(hourly_panel, values=poisoned, mask=~np.isnan(poisoned))
    sums, poison = (
        score_naive(Naive("season", period, is_mean), panel, np.array([origin]), horizon, mean_before(panel, 120))
        for panel in (hourly_panel, other)
    )
    expected = slow_forecast(hourly_panel, origin, horizon, period, 120, is_mean=is_mean)
    future = slice(origin, origin + horizon)
    errors = np.abs(
        expected.astype(np.float64) - np.where(hourly_panel.mask[future], hourly_panel.values[future], expected)
    )
    np.testing.assert_allclose(sums.absolute, errors, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(poison.absolute, poisoned[future].astype(np.float64) - expected, rtol=1e-5)


def test_a_series_without_earlier_observations_is_forecast_by_its_mean_in_training() -> None:
    values = np.full((40, 1), np.nan, np.float32)
    values[:20:2], values[30:] = 6, 10  # period 2 from an odd step on: never observed before
    panel = Panel.from_arrays(values)
    sums = score_naive(Naive("every second step", 2), panel, np.array([31]), 1, mean_before(panel, 20))
    assert sums.scores().mae == 4


def test_a_seasonal_forecast_of_a_periodic_series_has_no_error() -> None:
    panel = Panel.from_arrays(np.tile(np.arange(24.0), 10)[:, None], start="2024-01-01", freq="1h")
    daily = next(naive for naive in naives_for(panel) if naive.period == 24)
    assert score_naive(daily, panel, np.arange(100, 200), 30, mean_before(panel, 100)).scores().mae == 0
    assert score_naive(LAST_VALUE, panel, np.arange(100, 200), 1, mean_before(panel, 100)).scores().mae > 0


@pytest.mark.parametrize(
    ("freq", "n_training", "names"),
    [
        ("1h", 150, ["last value", "same time yesterday", "mean by time of day"]),
        ("1h", 168, ["last value", "same time yesterday", "same time last week", "mean by time of day"]),
        ("MS", 24, ["last value", "same month last year", "mean by time of year"]),
        ("W", 60, ["last value", "same week last year", "mean so far"]),
        ("7min", 150, ["last value", "mean so far"]),
        (None, 150, ["last value", "mean so far"]),
    ],
)
def test_the_seasons_of_the_step_that_fit_into_training_have_a_naive_forecast(
    freq: str | None, n_training: int, names: list[str]
) -> None:
    start = None if freq is None else "2023-01-01"
    panel = Panel.from_arrays(np.ones((200, 1)), start=start, freq=freq)
    assert [naive.name for naive in naives_for(panel, n_training)] == names
