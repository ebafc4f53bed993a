"""Tests of the verdict: scaled errors by their definition, independence of units, leaks, and what it advises."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from elinformer.data.panel import Panel
from elinformer.data.reach import Reach
from elinformer.data.windows import SplitPanel
from elinformer.evaluation import MetricSums, Verdict, judge

HORIZON = 4


def waves(n_steps: int = 24 * 12) -> np.ndarray:
    """Return a series that repeats daily, one that does not, and one with gaps and a weekend, (T, 3)."""
    rng, steps = np.random.default_rng(0), np.arange(n_steps)[:, None]
    values = 10 + np.sin(steps / 24 * 2 * np.pi + np.arange(3)) + 0.2 * rng.normal(size=(n_steps, 3))
    values[:, 1] = rng.normal(size=n_steps).cumsum()
    values[::5, 2] = np.nan
    return values


def split_of(values: np.ndarray, reach: Reach | None = None) -> SplitPanel:
    panel = Panel.from_arrays(values, start="2024-01-01", freq="1h")
    return SplitPanel.of(panel, (0.6, 0.2, 0.2), reach or Reach(6, HORIZON))


def sums_of(data: SplitPanel, forecasts: np.ndarray) -> MetricSums:
    """Return the sums of forecasts (T, N) that do not depend on the origin."""
    sums = MetricSums(HORIZON, *data.panel.values.shape[1:])
    steps = data.origins("test")[:, None] + np.arange(HORIZON)
    arrays = forecasts.astype(np.float32)[steps][..., None], data.panel.values[steps], data.panel.mask[steps]
    sums.update(*map(torch.from_numpy, arrays))
    return sums


def judged(data: SplitPanel, sums: MetricSums) -> Verdict:
    origins, end, reads = data.origins("test"), data.split.train[1], data.reach.history
    return judge(sums, data.panel, origins, known_steps=end, scaler=data.scaler("series"), reads=reads)


def verdict_on(values: np.ndarray, error: float = 0.1, reach: Reach | None = None) -> Verdict:
    data = split_of(values, reach)
    return judged(data, sums_of(data, np.nan_to_num(values) + error))


def test_scaled_errors_follow_their_definition() -> None:
    values = waves()
    verdict = verdict_on(values, error=0.5)
    train = values[: round(0.6 * len(values))]
    change = train[verdict.best.period :] - train[: -verdict.best.period]
    assert verdict.mase(verdict.sums) == pytest.approx((0.5 / np.nanmean(np.abs(change), 0)).mean(), rel=1e-4)
    assert verdict.mase(verdict.sums, step=2) == pytest.approx(verdict.mase(verdict.sums), rel=1e-4)
    assert verdict.rmsse(verdict.sums) == pytest.approx((0.5 / np.nanmean(change**2, 0) ** 0.5).mean(), rel=1e-4)


def test_the_best_naive_forecast_is_the_lowest_on_the_windows_and_is_named() -> None:
    verdict = verdict_on(waves())
    errors = {name: sums.mae_by_series().log().mean() for name, sums in verdict.naives.items()}
    assert verdict.best.name == min(errors, key=errors.__getitem__)
    assert verdict.to_dict()["best_naive"] == verdict.best.name
    assert verdict.to_dict()["scaled"][verdict.best.name]["ratio"] == pytest.approx(1)


def test_units_change_no_number_without_a_unit() -> None:
    values = waves()
    units = np.array([1.0, 1e3, 1e-3])
    data = split_of(values * units)
    found = judged(data, sums_of(data, (np.nan_to_num(values) + 0.1) * units))
    plain = verdict_on(values)
    assert found.mase(found.sums) == pytest.approx(plain.mase(plain.sums), rel=1e-3)
    assert found.ratio.mean == pytest.approx(plain.ratio.mean, rel=1e-3)
    assert (found.units_differ, plain.units_differ) == (True, False)


def test_scales_are_of_the_training_steps_alone() -> None:
    values = waves()
    poisoned = values.copy()
    poisoned[round(0.6 * len(values)) : round(0.8 * len(values))] = 1e6 * np.random.default_rng(1).normal()
    data = split_of(poisoned)
    found = judged(data, sums_of(data, np.nan_to_num(poisoned)))
    train = values[: round(0.6 * len(values))].astype(np.float32)
    np.testing.assert_allclose(data.moments.mean[:, 0], np.nanmean(train, 0), rtol=1e-5)
    change = np.abs(train[found.best.period :] - train[: -found.best.period])
    np.testing.assert_allclose(found.absolute[:, 0], np.nanmean(change, 0), rtol=1e-5)


def test_a_forecast_without_an_advantage_is_told_what_to_try() -> None:
    values = np.tile(np.random.default_rng(0).normal(size=(24, 3)), (12, 1))
    values += 1e-3 * np.random.default_rng(1).normal(size=values.shape)
    assert verdict_on(values, error=0.0).advice is None
    short, long = (verdict_on(values, error=5.0, reach=Reach(n, HORIZON)) for n in (6, 24))
    assert short.ratio.behind == 1
    assert "--lags 24" in (short.advice or "")
    assert long.best.name in (long.advice or "")


def test_the_bias_of_sparse_series_is_that_of_their_total() -> None:
    rng = np.random.default_rng(0)
    values = waves()
    values[:, 0] = np.where(np.arange(len(values)) % 3 > 0, 0, 1 + rng.poisson(4, len(values)))
    data = split_of(values)
    forecasts = np.nan_to_num(values)
    forecasts[:, 0] *= 0.5
    document = judged(data, sums_of(data, forecasts)).to_dict()
    assert document["sparse"]["n_series"] == 1
    assert document["sparse"]["bias_percent"] == pytest.approx(-50)
    assert verdict_on(waves()).to_dict()["sparse"] is None


def test_series_that_never_change_have_a_verdict_too() -> None:
    document = verdict_on(np.full((240, 2), 3.0), error=0.1).to_dict()
    assert document["ratio"] is None
    assert document["series_behind"] == 1
    assert document["scaled"]["elinformer"]["mase"] == pytest.approx(0.1)
    json.dumps(document, allow_nan=False)
