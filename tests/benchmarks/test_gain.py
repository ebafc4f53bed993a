"""What there is to earn by attention: what errors have in common, and what counts leave."""

from __future__ import annotations

import math

import pytest
import torch
from benchmarks.gain import Forecasts, common_share, gains_by_level, poisson_floor

from elinformer.evaluation import MetricSums


def found(forecast: torch.Tensor, target: torch.Tensor) -> Forecasts:
    return Forecasts(MetricSums(*target.shape[1:]), forecast, target, ["x"] * target.shape[3])


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


def test_a_series_that_is_never_observed_has_nothing_in_common() -> None:
    target = torch.randn(50, 1, 3, 1, generator=torch.Generator().manual_seed(0))
    target[:, :, 1] = torch.nan
    assert common_share(found(torch.zeros_like(target), target), 0)["share"] == pytest.approx(1)


@pytest.mark.parametrize("mean", [0.3, 1.0, 2.5, 40.0])
def test_poisson_counts_leave_their_mean_deviation(mean: float) -> None:
    weights = [math.exp(-mean + n * math.log(mean) - math.lgamma(n + 1)) for n in range(400)]
    expected = sum(weight * abs(n - mean) for n, weight in enumerate(weights))
    forecast = torch.full((2, 1, 3, 1), mean, dtype=torch.float64)
    assert poisson_floor(found(forecast, torch.ones_like(forecast))) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("target", [0.5, -1.0])
def test_what_is_no_count_has_no_such_floor(target: float) -> None:
    forecast = torch.ones(2, 1, 3, 1)
    assert poisson_floor(found(forecast, torch.full_like(forecast, target))) is None


def test_gains_are_by_the_level_of_the_series() -> None:
    level = torch.tensor([3.0, 1.0, 4.0, 2.0])
    errors, theirs = torch.tensor([[1.0], [3.0], [2.0], [4.0]]), torch.full((4, 1), 4.0)
    target = level.expand(2, 1, 4)[..., None]
    assert gains_by_level(errors, theirs, torch.ones(4, 1), target) == [0.25, 0.0, 0.75, 0.5]
