"""Tests that no score and no choice sees what comes later: the test part, and the steps after a window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster

TEST_START = 192
"""First test step of the hourly panel: 80 % of 240 steps."""


def with_other_steps_from(panel: Panel, step: int) -> Panel:
    """Return the panel with nonsense from a step on."""
    values = panel.values.copy()
    values[step:] = np.where(panel.mask[step:], 1e4 * np.random.default_rng(0).normal(size=values[step:].shape), np.nan)
    return replace(panel, values=values)


@pytest.fixture(scope="module")
def other(make_forecaster: Callable[..., Forecaster], hourly_panel: Panel) -> Forecaster:
    """Return a forecaster whose test part is nonsense."""
    return make_forecaster(epochs=2).fit(with_other_steps_from(hourly_panel, TEST_START))


def test_the_scored_model_has_not_seen_the_test_part(trained: Forecaster, other: Forecaster) -> None:
    first_window = [forecaster.backtest().frame().groupby("unique_id").head(3) for forecaster in (trained, other)]
    forecasts = [frame["elinformer"].to_numpy() for frame in first_window]
    assert len(forecasts[0]) == 3 * 4
    np.testing.assert_array_equal(*forecasts)


def test_validation_has_not_seen_the_test_part(trained: Forecaster, other: Forecaster) -> None:
    same_scores, other_scores = (forecaster.backtest(split="validation").scores() for forecaster in (trained, other))
    assert same_scores == other_scores
    assert trained.fit_result.best_epoch == other.fit_result.best_epoch


def test_a_window_is_scored_without_the_steps_after_it(trained: Forecaster, hourly_panel: Panel) -> None:
    later = with_other_steps_from(hourly_panel, TEST_START + 10)
    limit = hourly_panel.timestamps[TEST_START + 10 - 3]
    frames = [trained.backtest(panel).frame() for panel in (hourly_panel, later)]
    rows = [frame[frame["cutoff"] < limit] for frame in frames]
    assert len(rows[0]) > 0
    np.testing.assert_array_equal(*(frame["elinformer"].to_numpy() for frame in rows))


def test_the_verdict_measures_its_scales_before_the_test_part(trained: Forecaster, hourly_panel: Panel) -> None:
    verdicts = [trained.backtest(p).verdict() for p in (hourly_panel, with_other_steps_from(hourly_panel, TEST_START))]
    for verdict in verdicts:
        train = np.s_[:144]
        change = hourly_panel.values[train][verdict.best.period :] - hourly_panel.values[train][: -verdict.best.period]
        np.testing.assert_allclose(verdict.absolute, np.nanmean(np.abs(change), 0), rtol=1e-4)
