from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from benchmarks.intervals import _covers, joint_scores, marginal_scores, markdown

if TYPE_CHECKING:
    from elinformer.data.panel import Panel
    from elinformer.forecaster import Forecaster


def test_sums_are_over_the_observed_series_and_maxima_need_a_whole_horizon() -> None:
    paths = np.arange(11.0)[:, None, None, None] * np.ones((3, 2, 1))  # of each step and series: 0 to 10
    target, mask = np.full((3, 2, 1), 5.0), np.ones((3, 2, 1), bool)
    mask[0, 1], target[0, 1] = False, np.nan
    covered = _covers(paths, target, mask)
    assert covered["sum"][0].all()
    assert covered["max"][1].tolist() == [[True], [False]]
    assert _covers(paths, target + 4.5, mask)["sum"][0].any() == np.False_


def test_the_scores_of_a_run_are_those_of_its_intervals_and_stand_in_tables(
    trained: Forecaster, hourly_panel: Panel
) -> None:
    marginal = marginal_scores(trained, hourly_panel, with_lightgbm=False)
    assert marginal["elinformer"]["mae"] == pytest.approx(trained.backtest().scores().mae)
    joint = joint_scores(trained, hourly_panel)
    assert joint["windows"] == 16
    assert all(0 <= shares["flow"] <= 1 for shares in joint["joint"].values())
    text = markdown([{"set": "hourly", "marginal": marginal, **joint}], "today")
    assert text.count("| hourly |") == 3
