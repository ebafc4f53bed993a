"""What there is to earn by attention: what errors have in common, and what counts leave."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from benchmarks.gain import (
    Forecasts,
    common_share,
    gain_table,
    gains_by_level,
    left_table,
    measured,
    poisson_deviation,
    poisson_profile,
    share_helped,
    weekly_profile,
)

from elinformer.data.panel import Panel
from elinformer.forecaster import Forecaster

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def found(forecast: torch.Tensor, target: torch.Tensor) -> Forecasts:
    return Forecasts(torch.zeros(target.shape[1:]), forecast, target)


def test_errors_of_one_cause_are_common_and_those_of_many_are_not() -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (400, 2, 40, 1)
    own, cause = torch.randn(shape, generator=generator), torch.randn(400, 2, 1, 1, generator=generator)
    target = torch.where(torch.rand(shape, generator=generator) < 0.9, own, torch.nan)
    alone = common_share(found(torch.zeros(shape), target), 1)
    assert alone["share"] == pytest.approx(alone["chance"], rel=0.1)
    together = common_share(found(torch.zeros(shape), target + 2 * cause), 1)
    assert together["share"] > 0.75
    assert together["chance"] < 0.2


def test_what_the_channels_of_one_series_have_in_common_does_not_count() -> None:
    own = torch.randn(400, 1, 30, 1, generator=torch.Generator().manual_seed(0)).expand(-1, -1, -1, 3)
    share = common_share(found(torch.zeros(own.shape), own), 0)
    assert share["share"] == pytest.approx(share["chance"], rel=0.1)


def test_a_series_that_is_never_observed_has_nothing_in_common() -> None:
    target = torch.randn(50, 1, 3, 1, generator=torch.Generator().manual_seed(0))
    target[:, :, 1] = torch.nan
    assert common_share(found(torch.zeros_like(target), target), 0)["share"] == pytest.approx(1)


@pytest.mark.parametrize("mean", [0.0, 0.1, 0.3, 0.69, 0.7, 1.0, 2.5, 7.4, 40.0, 300.2])
def test_poisson_counts_leave_their_deviation_from_the_median(mean: float) -> None:
    weights = [math.exp(-mean + n * math.log(mean) - math.lgamma(n + 1)) if mean else float(n == 0) for n in range(600)]
    least = min(sum(weight * abs(n - m) for n, weight in enumerate(weights)) for m in range(int(mean) + 3))
    assert poisson_deviation(torch.tensor([mean], dtype=torch.float64)).item() == pytest.approx(least, rel=1e-9)


def counts() -> Panel:
    """Eight weeks of hourly Poisson counts, of a mean by the hour of the week that is known."""
    rng = np.random.default_rng(0)
    mean = np.tile(1 + np.arange(168) % 9, 8)[:, None, None] * np.ones((1, 20, 1))
    return Panel.from_arrays(rng.poisson(mean).astype(np.float32), start="2024-01-01", freq="1h")


def test_the_weekly_profile_of_poisson_counts_errs_by_what_is_said() -> None:
    panel = counts()
    profile = weekly_profile(panel, 6 * 168)
    assert np.abs(profile[:168, :, 0].mean(1) - (1 + np.arange(168) % 9)).max() < 1
    said = poisson_profile(panel, 6 * 168, 7 * 168)
    assert said
    assert said["poisson"] < said["mae"] < 1.15 * said["poisson"]  # the profile is a mean of six weeks


@pytest.mark.parametrize("change", [0.5, -20.0])
def test_what_is_no_count_has_no_such_profile(change: float) -> None:
    panel = counts()
    other = Panel.from_arrays(panel.values + np.float32(change), start="2024-01-01", freq="1h")
    assert poisson_profile(other, 6 * 168, 7 * 168) is None
    assert poisson_profile(Panel.from_arrays(panel.values), 6 * 168, 7 * 168) is None  # of no known time


def test_gains_are_by_the_level_of_the_series() -> None:
    panel = Panel.from_arrays(np.array([[[3.0], [1.0], [4.0], [2.0]]] * 5, np.float32))
    errors, theirs = torch.tensor([[1.0], [3.0], [2.0], [4.0]]), torch.full((4, 1), 4.0)
    assert gains_by_level(errors, theirs, panel) == [0.25, 0.0, 0.75, 0.5]
    assert gains_by_level(errors[:3], theirs[:3], Panel.from_arrays(panel.values[:, :3])) == []


def test_series_that_were_not_observed_are_neither_helped_nor_not() -> None:
    assert share_helped(torch.tensor([1.0, 2.0, 0.0]), torch.tensor([2.0, 1.0, 0.0])) == 0.5


def test_two_runs_give_a_row_of_each_table(
    make_forecaster: Callable[..., Forecaster], hourly_panel: Panel, tmp_path: Path
) -> None:
    runs: Any = (tmp_path / "with", tmp_path / "without")
    hourly_panel.save(tmp_path / "d")
    for run, attention in zip(runs, ("eala", "none"), strict=True):
        forecaster = make_forecaster(epochs=1, model={"attention": attention}).fit(hourly_panel)
        forecaster.save(run, source={"data": str(tmp_path / "d")})
    row = measured("d", [runs])
    theirs, ours = (error_of(run, hourly_panel) for run in runs[::-1])
    assert row["by_channel"]["flow"] == pytest.approx(1 - ours / theirs, rel=1e-5)
    assert len(row["by_level"]) == 4
    table = gain_table([row]).splitlines()
    assert table[0] == "| data | seeds | step 1 | step 3 | series helped | by level or channel |"  # three steps ahead
    assert [line.count("|") for line in table] == [7, 7, 7]
    assert [line.count("|") for line in left_table([row]).splitlines()] == [6, 6, 6]


def error_of(run: Path, panel: Panel) -> float:
    return float(Forecaster.load(run).backtest(panel).absolute.sum())
